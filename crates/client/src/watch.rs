//! Following a list of objects: list, watch, and list again when the server has forgotten.

use crate::{ApiError, Client, Error, List, Query};
use reqwest::Response;
use schemas::DynObject;
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The server sends a bookmark at least every 15 s; this long without a word and the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// First and longest pause before trying again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));
/// One line of a watch: an object (512 KiB at most) and its wrapping.
const LINE_LIMIT: usize = 4 * 1024 * 1024;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An object is there: at the beginning, or newly made.
    Added(Box<DynObject>),
    /// An object changed.
    Modified(Box<DynObject>),
    /// An object is gone, or the query does not select it any longer. Its last known state.
    Deleted(Box<DynObject>),
    /// Everything that was there has been told; from now on come changes.
    Synced,
    /// The connection is lost and will be tried again; why.
    Trouble(String),
}

/// A running watch. Each change is told once and in order; nothing is missed over a lost connection.
pub struct Watch {
    client: Client,
    plural: String,
    query: Query,
    /// Last known state by name; what a list after a gap is compared with.
    known: BTreeMap<String, DynObject>,
    queue: VecDeque<Event>,
    revision: String,
    stream: Option<Response>,
    buffer: Vec<u8>,
    needs_list: bool,
    began: bool,
    failures: u32,
    /// Before the next step a pause is due; after what was lost has been told.
    pause_due: bool,
    backoff: (Duration, Duration),
}

impl Watch {
    pub(crate) fn new(client: Client, plural: &str, query: Query) -> Self {
        Watch {
            client,
            plural: plural.into(),
            query,
            known: BTreeMap::new(),
            queue: VecDeque::new(),
            revision: String::new(),
            stream: None,
            buffer: Vec::new(),
            needs_list: true,
            began: false,
            failures: 0,
            pause_due: false,
            backoff: BACKOFF,
        }
    }

    /// First and longest pause before trying again, in place of 0.8 s and 30 s.
    pub fn with_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// The next event. Waits for one as long as it takes.
    ///
    /// # Errors
    /// When the first list fails, or when trying again would not help (not allowed, unknown kind).
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            if let Err(error) = self.step().await {
                if !self.began || !error.is_transient() {
                    return Err(error);
                }
                self.lose(&error.to_string());
            }
        }
    }

    /// Does one thing: list, connect, or read a piece of the stream.
    async fn step(&mut self) -> Result<(), Error> {
        if self.pause_due {
            self.pause().await;
            self.pause_due = false;
        }
        if self.needs_list {
            let list = self.client.list(&self.plural, &self.query).await?;
            self.take_list(list);
            self.needs_list = false;
            self.began = true;
            return Ok(());
        }
        let Some(stream) = &mut self.stream else {
            match self.client.open_watch(&self.plural, &self.query, &self.revision).await {
                Ok(stream) => self.stream = Some(stream),
                Err(Error::Api(e)) if too_old(&e) => self.relist(),
                Err(e) => return Err(e),
            }
            return Ok(());
        };
        match tokio::time::timeout(SILENCE, stream.chunk()).await {
            Err(_) => {
                self.lose("no message for 45 s");
                Ok(())
            }
            Ok(Err(e)) => Err(crate::http::network_error(self.client.endpoint(), "the watch", e, false)),
            // The server ends streams now and then; what it had sent before is what counts.
            Ok(Ok(None)) => {
                self.drop_stream();
                Ok(())
            }
            Ok(Ok(Some(bytes))) => {
                self.buffer.extend_from_slice(&bytes);
                self.take_lines()
            }
        }
    }

    fn take_lines(&mut self) -> Result<(), Error> {
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let message: Value = serde_json::from_slice(&line).map_err(|_| self.nonsense("a line of the watch is not JSON"))?;
            self.take_message(message)?;
            if self.stream.is_none() {
                return Ok(());
            }
        }
        if self.buffer.len() > LINE_LIMIT { Err(self.nonsense("a line of the watch is longer than 4 MiB")) } else { Ok(()) }
    }

    fn take_message(&mut self, mut message: Value) -> Result<(), Error> {
        let object = message["object"].take();
        match message["type"].as_str().unwrap_or_default() {
            "BOOKMARK" => {
                self.failures = 0;
                if let Some(revision) = object["metadata"]["resourceVersion"].as_str() {
                    self.revision = revision.into();
                }
            }
            "ERROR" => {
                let status = object["error"]["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
                let error = ApiError::parse(status, "", &object.to_string());
                self.drop_stream();
                if !too_old(&error) {
                    return Err(Error::Api(Box::new(error)));
                }
                self.relist();
            }
            kind @ ("ADDED" | "MODIFIED" | "DELETED") => {
                let deleted = kind == "DELETED";
                let object = self.client.object("the watch", object)?;
                self.failures = 0;
                self.revision = object.metadata.resource_version.clone();
                self.take_object(object, deleted);
            }
            // A newer server may say more.
            _ => {}
        }
        Ok(())
    }

    fn take_object(&mut self, object: DynObject, deleted: bool) {
        let name = object.metadata.name.clone();
        if deleted {
            self.known.remove(&name);
            self.queue.push_back(Event::Deleted(Box::new(object)));
            return;
        }
        let event = match self.known.insert(name, object.clone()) {
            Some(_) => Event::Modified(Box::new(object)),
            None => Event::Added(Box::new(object)),
        };
        self.queue.push_back(event);
    }

    /// Tells the differences between what is known and what is there.
    fn take_list(&mut self, list: List) {
        let first = !self.began;
        let mut gone = std::mem::take(&mut self.known);
        for object in list.items {
            let name = object.metadata.name.clone();
            match gone.remove(&name) {
                Some(old) if old == object => {}
                Some(old) if old.metadata.uid == object.metadata.uid => self.queue.push_back(Event::Modified(Box::new(object.clone()))),
                // Deleted and made anew while nobody looked.
                Some(old) => self.queue.extend([Event::Deleted(Box::new(old)), Event::Added(Box::new(object.clone()))]),
                None => self.queue.push_back(Event::Added(Box::new(object.clone()))),
            }
            self.known.insert(name, object);
        }
        self.queue.extend(gone.into_values().map(|old| Event::Deleted(Box::new(old))));
        if first {
            self.queue.push_back(Event::Synced);
        }
        self.revision = list.resource_version;
    }

    fn relist(&mut self) {
        self.drop_stream();
        self.needs_list = true;
    }

    fn drop_stream(&mut self) {
        self.stream = None;
        self.buffer.clear();
        self.pause_due = true;
    }

    fn lose(&mut self, why: &str) {
        self.drop_stream();
        self.queue.push_back(Event::Trouble(why.into()));
    }

    /// Waits a little, longer each time nothing was heard in between, never the same for all clients.
    async fn pause(&mut self) {
        let (first, longest) = self.backoff;
        let whole = first.saturating_mul(1 << self.failures.min(10)).min(longest);
        self.failures += 1;
        tokio::time::sleep(whole.mul_f64(rand::random_range(0.5..1.0))).await;
    }

    fn nonsense(&self, message: &str) -> Error {
        Error::Answer { url: self.client.endpoint().into(), message: message.into() }
    }
}

/// The server cannot continue from our revision: it is compacted away, or of another database.
fn too_old(error: &ApiError) -> bool {
    error.status == 410 || error.code == "resource-version-unknown"
}
