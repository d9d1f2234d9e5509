//! Watch: a stream of changes, one JSON object per line.
//!
//! A stream pulls from the feed by revision, so it holds no queue: a slow reader holds nobody up,
//! and when history is compacted under it, it is told so (410) and lists again.

use crate::{
    ApiConfig,
    auth::Caller,
    call::Call,
    context::Ctx,
    errors::{ApiError, ApiResult, Code, internal},
    reading::{self, Item, shown},
    request_id::RequestId,
    select::Selection,
    table::{Shape, Table},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use engine::FeedChange;
use schemas::{API_VERSION, DynObject, KindInfo};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::{ChangeOp, StoreError};
use tokio::time::Instant;

/// Changes pulled at once.
const BATCH: usize = 200;
/// Initial objects written at once.
const CHUNK: usize = 64;
/// Default and longest life of a stream, in seconds.
const LIFE: (i64, i64) = (1_800, 3_600);
const INITIAL_EVENTS_END: &str = "cloud-manager/initial-events-end";

/// For each open watch, streams wait so long for further changes to be sent along: what costs most of a change is to send it,
/// once to everybody. Few watches wait for nothing that anybody would notice.
const GATHER_PER_WATCH: Duration = Duration::from_micros(80);
const GATHER_MOST: Duration = Duration::from_millis(40);

/// Counts the open watches.
pub(crate) struct Watches {
    per_user: usize,
    all: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
    count: Arc<AtomicUsize>,
    gauge: Gauge,
}

type Gauge = Arc<dyn Fn(i64) + Send + Sync>;

/// A place among the open watches; given back when dropped.
struct Permit {
    user: String,
    open: Arc<Mutex<HashMap<String, usize>>>,
    count: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl Watches {
    pub fn new(config: &ApiConfig, gauge: impl Fn(i64) + Send + Sync + 'static) -> Self {
        Watches {
            per_user: config.max_watches_per_user,
            all: config.max_watches,
            open: Arc::default(),
            count: Arc::default(),
            gauge: Arc::new(gauge),
        }
    }

    /// How long a stream waits for further changes, in whole milliseconds.
    fn gather(&self) -> Duration {
        let watches = u32::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let wait = GATHER_PER_WATCH.saturating_mul(watches).min(GATHER_MOST);
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(0))
    }

    fn enter(&self, user: &str) -> ApiResult<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.count.load(Ordering::Relaxed) >= self.all {
            return Err(ApiError::new(Code::RateLimited, format!("This server has {} watches open, which is its limit; try again later.", self.all)));
        }
        let mine = open.entry(user.to_string()).or_default();
        if *mine >= self.per_user {
            return Err(ApiError::new(
                Code::RateLimited,
                format!("You have {} watches open, which is the limit; close some first, or raise api.max_watches_per_user.", self.per_user),
            ));
        }
        *mine += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        (self.gauge)(1);
        Ok(Permit { user: user.to_string(), open: self.open.clone(), count: self.count.clone(), gauge: self.gauge.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.user) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(&self.user);
            }
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        (self.gauge)(-1);
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'a str,
    object: &'a T,
}

fn write<T: Serialize>(buffer: &mut Vec<u8>, r#type: &str, object: &T) {
    let before = buffer.len();
    // Writing to memory cannot fail; what is stored was JSON before.
    match serde_json::to_writer(&mut *buffer, &Line { r#type, object }) {
        Ok(()) => buffer.push(b'\n'),
        Err(error) => {
            tracing::error!(%error, "a change cannot be written");
            buffer.truncate(before);
        }
    }
}

/// The same of an object that is written already; none if it could not be.
fn write_text(buffer: &mut Vec<u8>, r#type: &str, text: &[u8]) {
    if text.is_empty() {
        return tracing::error!("a change cannot be written");
    }
    for part in [&b"{\"type\":\""[..], r#type.as_bytes(), b"\",\"object\":", text, b"}\n"] {
        buffer.extend_from_slice(part);
    }
}

/// Opens a stream. All that can be wrong with the request is said before it begins.
pub(crate) async fn watch(ctx: Ctx, call: Call) -> ApiResult<Response> {
    let (kind, shape) = (call.kind()?, Shape::asked(&call)?);
    let instead = match kind.kind {
        "Event" | "AuditRecord" => Some("list them again instead"),
        "Task" => Some("watch hostoperations and evacuations instead"),
        _ => None,
    };
    if let Some(instead) = instead {
        return Err(ApiError::invalid("watch", format!("{} cannot be watched; {instead}.", kind.plural)));
    }
    for only_list in ["limit", "continue", "marker"] {
        if call.params.has(only_list) {
            return Err(ApiError::invalid(only_list, "does not go with watch."));
        }
    }
    let selection = Selection::parse(kind, &call.params)?;
    let asked = call.params.number("resourceVersion")?;
    let whole = call.params.flag("sendInitialEvents")?.unwrap_or(asked.unwrap_or(0) == 0);
    call.params.flag("allowWatchBookmarks")?;
    let caller = call.caller.ok_or_else(internal)?;
    let life = life(&ctx, call.params.number("timeoutSeconds")?, &caller);
    let permit = ctx.watches.enter(&caller.info.user_id)?;

    let (cursor, initial) = if whole {
        super::get::wait_for(&ctx, asked.unwrap_or(0)).await?;
        let page = reading::snapshot(&ctx, kind, &selection).await?;
        (page.revision, Some(page.items))
    } else {
        (begin(&ctx, asked.unwrap_or(0)).await?, None)
    };
    super::get::wait_for(&ctx, cursor).await?;

    let now = Instant::now();
    let stream = Stream {
        known: initial.iter().flatten().map(|o| (o.metadata.name.clone(), true)).collect(),
        complete: initial.is_some(),
        bookmark_due: initial.is_some(),
        initial: initial.map(VecDeque::from).unwrap_or_default(),
        bookmark_at: now + ctx.config.bookmark,
        recheck_at: now + ctx.config.watch_recheck,
        end_at: now + life,
        ended: false,
        request_id: call.request_id,
        ctx,
        kind,
        shape,
        selection,
        caller,
        cursor,
        _permit: permit,
    };
    let lines = futures::stream::unfold(stream, |mut stream| async move { stream.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), stream)) });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;stream=watch"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Else nginx would hold lines back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// How long a stream lives: as asked, jittered so that clients do not all come back at once, and
/// never beyond the token.
fn life(ctx: &Ctx, asked: Option<i64>, caller: &Caller) -> Duration {
    let seconds = match asked {
        Some(n) => n.clamp(1, LIFE.1) as f64,
        None => LIFE.0 as f64 * rand::random_range(0.8..1.2),
    };
    let token = caller.until.millis_since(ctx.clock.now());
    Duration::from_secs_f64(seconds).min(Duration::from_millis(u64::try_from(token).unwrap_or(0)))
}

/// Checks that history can be told from `asked` on (0: from now on).
async fn begin(ctx: &Ctx, asked: i64) -> ApiResult<i64> {
    if asked == 0 {
        // The feed may lag behind what the caller has just written.
        return Ok(ctx.registry.store().revision().await?.current);
    }
    if asked > ctx.feed.newest() {
        let current = ctx.registry.store().revision().await?.current;
        if asked > current {
            let detail = format!(
                "resourceVersion {asked} is newer than anything here ({current}): it is from another deployment, or the database was restored. List again."
            );
            return Err(ApiError::new(Code::ResourceVersionUnknown, detail));
        }
        super::get::wait_for(ctx, asked).await?;
    }
    ctx.feed.after(asked, 1).await?;
    Ok(asked)
}

struct Stream {
    ctx: Ctx,
    kind: &'static KindInfo,
    shape: Shape,
    selection: Selection,
    caller: Caller,
    request_id: RequestId,
    /// All changes up to here were told.
    cursor: i64,
    /// Objects that were there at the beginning and are not told yet.
    initial: VecDeque<DynObject>,
    /// What the reader knows of: name → whether it was selected when last seen.
    known: HashMap<String, bool>,
    /// The reader knows of every object that was selected; else only of those in `known`.
    complete: bool,
    /// The initial objects are to be followed by a bookmark.
    bookmark_due: bool,
    bookmark_at: Instant,
    recheck_at: Instant,
    end_at: Instant,
    ended: bool,
    _permit: Permit,
}

impl Stream {
    /// The next lines; `None` ends the stream cleanly, and the reader goes on from its last revision.
    async fn next(&mut self) -> Option<Bytes> {
        let mut lines = Vec::new();
        if !self.initial.is_empty() {
            let chunk = self.initial.len().min(CHUNK);
            for object in self.initial.drain(..chunk).collect::<Vec<_>>() {
                self.line(&mut lines, "ADDED", object);
            }
            return Some(lines.into());
        }
        if std::mem::take(&mut self.bookmark_due) {
            write(&mut lines, "BOOKMARK", &self.bookmark(true));
            return Some(lines.into());
        }
        loop {
            let now = Instant::now();
            if self.ended || now >= self.end_at || self.ctx.stop.is_cancelled() {
                return None;
            }
            if now >= self.recheck_at {
                self.recheck_at = now + self.ctx.config.watch_recheck;
                // A Keystone that cannot tell takes nobody's stream away; the token's own end does.
                if let Ok(false) = self.ctx.auth.still_valid(&self.caller).await {
                    return None;
                }
            }
            match self.ctx.feed.after(self.cursor, BATCH).await {
                Ok(changes) => {
                    for change in &changes {
                        self.cursor = change.change.revision;
                        self.tell(change, &mut lines);
                    }
                    if changes.is_empty() {
                        self.wait().await;
                    }
                }
                Err(error) => {
                    self.ended = true;
                    write(&mut lines, "ERROR", &self.error(error));
                }
            }
            if Instant::now() >= self.bookmark_at {
                self.bookmark_at = Instant::now() + self.ctx.config.bookmark;
                write(&mut lines, "BOOKMARK", &self.bookmark(false));
            }
            if !lines.is_empty() {
                return Some(lines.into());
            }
        }
    }

    /// Waits for a change, or for the next thing that is due.
    async fn wait(&self) {
        let due = self.bookmark_at.min(self.recheck_at).min(self.end_at);
        tokio::select! {
            () = self.ctx.stop.cancelled() => {}
            () = tokio::time::sleep_until(due) => {}
            () = self.ctx.feed.reached(self.cursor + 1) => tokio::time::sleep(self.ctx.watches.gather()).await,
        }
    }

    fn error(&self, error: StoreError) -> Value {
        ApiError::from(error).body(&self.request_id.0, self.ctx.config.help_url.as_deref())
    }

    fn bookmark(&self, initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": self.cursor.to_string()});
        if initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        json!({"apiVersion": API_VERSION, "kind": self.kind.kind, "metadata": metadata})
    }

    fn tell(&mut self, change: &Arc<FeedChange>, lines: &mut Vec<u8>) {
        let object = change.object();
        if object.kind != self.kind.kind {
            return;
        }
        let Some(word) = self.word(change) else { return };
        match self.shape {
            Shape::Objects => write_text(lines, word, change.text(|object| serde_json::to_vec(&shown(object.clone())).unwrap_or_default())),
            Shape::Table => self.line(lines, word, shown(object.clone())),
        }
    }

    /// An object, or a table with its row.
    fn line(&self, lines: &mut Vec<u8>, word: &str, object: DynObject) {
        match self.shape {
            Shape::Objects => write(lines, word, &object),
            Shape::Table => write(lines, word, &Table::of(self.kind, vec![Item::Object(object)], self.ctx.clock.now(), ())),
        }
    }

    /// What this change means for this reader: entering a selector is ADDED, leaving it is DELETED.
    fn word(&mut self, change: &FeedChange) -> Option<&'static str> {
        let object = change.object();
        let deleted = change.change.op == ChangeOp::Deleted;
        if self.selection.is_all() && !self.complete {
            return Some(match change.change.op {
                ChangeOp::Added => "ADDED",
                ChangeOp::Modified => "MODIFIED",
                ChangeOp::Deleted => "DELETED",
            });
        }
        let selected = !deleted && self.selection.matches(object);
        let before = match (self.known.get(&object.metadata.name), change.change.op) {
            (Some(known), _) => Some(*known),
            (None, ChangeOp::Added) => Some(false),
            (None, _) if self.complete => Some(false),
            (None, ChangeOp::Modified) => self.selection.matched_before(object, change.labels_before.as_ref()),
            // A deletion carries the last state.
            (None, ChangeOp::Deleted) => Some(self.selection.matches(object)),
        };
        if deleted || (self.complete && !selected) {
            self.known.remove(&object.metadata.name);
        } else {
            self.known.insert(object.metadata.name.clone(), selected);
        }
        match (before, selected) {
            (Some(false), true) => Some("ADDED"),
            (_, true) => Some("MODIFIED"),
            // Not known: better told twice than an object that never goes.
            (Some(true) | None, false) => Some("DELETED"),
            (Some(false), false) => None,
        }
    }
}
