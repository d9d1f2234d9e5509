//! A kept-alive HTTP/1.1 connection that costs the measuring side as little as possible.

use crate::Failure;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Connection {
    tcp: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Connection { tcp, address, buffer: Vec::new() })
    }

    /// Gives status and body.
    pub async fn get(&mut self, path: &str, token: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.ask("GET", path, token, "").await
    }

    /// Gives status and body.
    pub async fn post(&mut self, path: &str, token: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.ask("POST", path, token, body).await
    }

    /// Lays fields over an object. Gives status and body.
    pub async fn patch(&mut self, path: &str, token: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.ask("PATCH", path, token, body).await
    }

    async fn send(&mut self, method: &str, path: &str, token: &str, body: &str) -> Result<(), Failure> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {token}\r\n", self.address);
        let media = if method == "PATCH" { "merge-patch+json" } else { "json" };
        let entity = if body.is_empty() { String::new() } else { format!("Content-Type: application/{media}\r\nContent-Length: {}\r\n", body.len()) };
        Ok(self.tcp.write_all(format!("{head}{entity}\r\n{body}").as_bytes()).await?)
    }

    async fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.send(method, path, token, body).await?;
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
                let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
                let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).ok_or("no Content-Length")?.trim().parse::<usize>()?;
                while self.buffer.len() < end + 4 + length {
                    self.fill().await?;
                }
                let body = self.buffer[end + 4..end + 4 + length].to_vec();
                self.buffer.drain(..end + 4 + length);
                return Ok((status, body));
            }
            self.fill().await?;
        }
    }

    /// Asks for a stream; its lines are then read with [`Connection::line`].
    pub async fn stream(&mut self, path: &str, token: &str) -> Result<(), Failure> {
        self.send("GET", path, token, "").await?;
        let status = self.line().await?;
        if status.contains(" 200 ") { Ok(()) } else { Err(format!("{path} answered {status}").into()) }
    }

    /// The next line of headers, chunk sizes and chunks.
    pub async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                return Ok(String::from_utf8_lossy(&self.buffer.drain(..=end).collect::<Vec<u8>>()).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.tcp.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}
