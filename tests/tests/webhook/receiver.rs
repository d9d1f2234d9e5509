//! A receiver that misbehaves on request: real HTTP on a real socket.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What it does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Answers with this status.
    Answer(u16),
    /// Reads it, and closes the connection without a word.
    Close,
    /// Reads it, and never answers.
    Hang,
    /// Sends the client elsewhere.
    Redirect,
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What it tells, in words.
    pub fn note(&self) -> String {
        self.json()["note"].as_str().unwrap().to_string()
    }
}

#[derive(Default)]
struct State {
    /// What it does with the next ones; then it takes all.
    plan: VecDeque<Does>,
    got: Vec<Request>,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    pub async fn start(plan: &[Does]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Receiver { url, state: Arc::new(Mutex::new(State { plan: plan.iter().copied().collect(), got: Vec::new() })) };
        let all = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let one = all.clone();
                tokio::spawn(async move { one.connection(stream).await });
            }
        });
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that came, in order.
    pub fn got(&self) -> Vec<Request> {
        self.lock().got.clone()
    }

    /// Waits until so many requests came.
    pub async fn wait(&self, count: usize) -> Vec<Request> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{count} requests never came: {got:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn connection(&self, mut stream: TcpStream) {
        while let Some(request) = read(&mut stream).await {
            let does = {
                let mut state = self.lock();
                state.got.push(request);
                state.plan.pop_front().unwrap_or(Does::Answer(200))
            };
            let answer = match does {
                Does::Answer(status) => format!("HTTP/1.1 {status} Word\r\ncontent-length: 2\r\n\r\nok"),
                Does::Redirect => format!("HTTP/1.1 307 Word\r\nlocation: {}/elsewhere\r\ncontent-length: 0\r\n\r\n", self.url),
                Does::Close => return,
                Does::Hang => std::future::pending().await,
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    assert!(text.starts_with("POST /hook HTTP/1.1"), "{text}");
    let headers: BTreeMap<String, String> =
        text.lines().skip(1).filter_map(|l| l.split_once(':')).map(|(name, value)| (name.to_lowercase(), value.trim().to_string())).collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { headers, body: String::from_utf8(bytes[head + 4..head + 4 + length].to_vec()).unwrap() })
}
