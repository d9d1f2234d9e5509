//! `sort`: a list in the order of one of its kind's columns.

use crate::{
    context::Context,
    errors::{ApiError, ApiResult},
    params::Params,
    reading::{self, Item, Page},
    select::Selection,
};
use schemas::{
    DynObject, KindInfo, Time,
    kinds::{Cell, Column},
};
use serde::{Deserialize, Serialize};

/// The order of a list.
pub(crate) struct Sort {
    column: &'static Column,
    descending: bool,
}

/// Where an object stands: what has no value comes first, numbers before texts, and names decide between equals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Place {
    Nothing(String),
    Number(i64, String),
    Text(String, String),
}

impl Sort {
    /// The order that is asked for; `None`: by name, which is the order of the store.
    pub fn parse(kind: &KindInfo, params: &Params) -> ApiResult<Option<Sort>> {
        let Some(text) = params.get("sort") else { return Ok(None) };
        let (word, descending) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        if word.eq_ignore_ascii_case("name") && !descending {
            return Ok(None);
        }
        if matches!(kind.kind, "Event" | "Lease" | "AuditRecord") {
            return Err(ApiError::invalid("sort", format!("{} objects come in an order of their own; leave it out.", kind.kind)));
        }
        if params.get("marker").is_some() {
            return Err(ApiError::invalid("marker", "is a name, and goes with lists by name only; leave sort out, or follow the links of the list."));
        }
        static NAME: Column = Column { name: "NAME", cell: Cell::At("/metadata/name"), wide: false };
        let columns = std::iter::once(&NAME).chain(kind.columns);
        match columns.clone().find(|c| c.name.eq_ignore_ascii_case(word)) {
            Some(column) => Ok(Some(Sort { column, descending })),
            None => {
                let known = columns.map(|c| c.name.to_ascii_lowercase()).collect::<Vec<_>>().join(", ");
                Err(ApiError::invalid(
                    "sort",
                    format!("{} objects have no column {word:?}; known are {known}, each with - before it for the other way.", kind.kind),
                ))
            }
        }
    }

    /// Binds `continue` tokens to the order.
    pub fn key(&self) -> String {
        format!("\0sort={}{}", if self.descending { "-" } else { "" }, self.column.name)
    }

    fn place(&self, object: &DynObject, now: Time) -> Place {
        let name = object.metadata.name.clone();
        if self.column.cell == Cell::Age {
            return object.metadata.creation_timestamp.map_or(Place::Nothing(name.clone()), |made| Place::Number(now.seconds_since(made), name));
        }
        let text = if self.column.name == "NAME" { name.clone() } else { self.column.text(object, now) };
        match text.parse() {
            _ if text == "-" => Place::Nothing(name),
            Ok(number) => Place::Number(number, name),
            Err(_) => Place::Text(text, name),
        }
    }

    /// A page in this order. All objects are looked at: an order that the store has no index for.
    pub async fn page(&self, ctx: &Context, kind: &KindInfo, selection: &Selection, after: Option<String>, limit: usize) -> ApiResult<Page<Item>> {
        let wrong = |_| ApiError::invalid("continue", "is not a token of this list; leave it out to begin anew.");
        let after: Option<Place> = after.map(|text| serde_json::from_str(&text).map_err(wrong)).transpose()?;
        let all = reading::snapshot(ctx, kind, selection).await?;
        let now = ctx.clock.now();
        let mut placed: Vec<(Place, DynObject)> = all.items.into_iter().map(|o| (self.place(&o, now), o)).collect();
        placed.sort_by(|(a, _), (b, _)| if self.descending { b.cmp(a) } else { a.cmp(b) });
        placed.retain(|(place, _)| after.as_ref().is_none_or(|after| if self.descending { place < after } else { place > after }));
        let remaining = placed.len().saturating_sub(limit);
        placed.truncate(limit);
        let last = placed.last().filter(|_| remaining > 0).map(|(place, _)| serde_json::to_string(place).unwrap_or_default());
        let remaining = last.as_ref().and(i64::try_from(remaining).ok());
        Ok(Page { items: placed.into_iter().map(|(_, o)| Item::Object(o)).collect(), next: last, remaining, revision: all.revision })
    }
}
