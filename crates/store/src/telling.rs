//! What people are told: events, counted as series.

use schemas::{DynObject, Object, ObjectMeta, Time, v1};
use sha2::{Digest, Sha256};

/// A series that was quiet for so long is begun anew, in seconds.
const SERIES_SECONDS: i64 = 360;
/// Characters kept of a note.
const NOTE_CHARS: usize = 1024;

/// Something that happened to an object, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// `Kind/name` of the object.
    pub regarding: String,
    /// Uid of the object.
    pub regarding_uid: String,
    /// A warning.
    pub warning: bool,
    /// Stable CamelCase word.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// Who tells it.
    pub reporter: String,
}

impl Telling {
    /// `Warning` or `Normal`.
    pub fn r#type(&self) -> &'static str {
        if self.warning { "Warning" } else { "Normal" }
    }

    /// Name of the Event: the same words about the same object have the same one.
    pub fn series(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.regarding_uid, &self.reason, &self.note] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digits: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("ev-{digits}")
    }

    /// The Event after this, of what is `known` of its series: counted on, or begun anew after it was quiet. What
    /// makes no sense there is written over: nothing is held up by it.
    pub fn event(&self, known: Option<&DynObject>, now: Time) -> DynObject {
        let known = known.and_then(|o| o.typed::<v1::Event>().ok());
        let running = known.filter(|e| e.spec.last_at.is_some_and(|at| now.seconds_since(at) < SERIES_SECONDS));
        let (count, first_at) = running.map_or((1, Some(now)), |e| (e.spec.count + 1, e.spec.first_at));
        let spec = v1::EventSpec {
            regarding: self.regarding.clone(),
            regarding_uid: self.regarding_uid.clone(),
            r#type: self.r#type().into(),
            reason: self.reason.clone(),
            note: self.note.chars().take(NOTE_CHARS).collect(),
            reporter: self.reporter.clone(),
            count,
            first_at,
            last_at: Some(now),
        };
        let metadata = ObjectMeta { creation_timestamp: first_at, ..ObjectMeta::named(self.series()) };
        Object::<v1::Event> { metadata, spec, status: v1::EventStatus {} }.to_dyn()
    }
}
