//! A network in between that misbehaves on demand.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All goes through.
    Pass,
    /// Nothing goes through, and no connection ends.
    Swallow,
    /// The first `COMMIT` goes through, and its answer is lost with the connection.
    LoseAnswer,
    /// The first `COMMIT` is lost with the connection.
    LoseCommit,
}

/// A proxy in front of 127.0.0.1:`port`.
#[derive(Clone)]
pub struct Proxy {
    pub addr: SocketAddr,
    mood: watch::Sender<Mood>,
    /// How many commits were interfered with.
    pub struck: Arc<Mutex<usize>>,
}

impl Proxy {
    pub async fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy { addr: listener.local_addr().unwrap(), mood: watch::channel(Mood::Pass).0, struck: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().carry(client, port));
            }
        });
        proxy
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Waits while everything is swallowed.
    async fn let_through(&self) {
        // The sender lives in this value.
        let _ = self.mood.subscribe().wait_for(|m| *m != Mood::Swallow).await;
    }

    async fn carry(self, client: TcpStream, port: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let back = self.clone();
        let (cut, cut_seen) = watch::channel(false);
        let answers = tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
                back.let_through().await;
                if *cut_seen.borrow() || to_client.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
            self.let_through().await;
            let sent = &buffer[..n];
            let mood = *self.mood.borrow();
            if matches!(mood, Mood::LoseAnswer | Mood::LoseCommit) && sent.windows(6).any(|w| w == b"COMMIT") {
                self.set(Mood::Pass);
                *self.struck.lock().unwrap() += 1;
                cut.send_replace(true);
                if mood == Mood::LoseAnswer {
                    // Read by the server before its side is closed.
                    let _ = to_server.write_all(sent).await;
                    let _ = answers.await;
                } else {
                    answers.abort();
                }
                return;
            }
            if to_server.write_all(sent).await.is_err() {
                break;
            }
        }
        answers.abort();
    }
}
