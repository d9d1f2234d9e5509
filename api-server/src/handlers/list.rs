//! Lists, page by page.

use super::{get, json, set, watch};
use crate::{
    call::{Call, base_url},
    context::Ctx,
    errors::{ApiError, ApiResult},
    params::query_string,
    reading::{self, Item},
    select::Selection,
    sort::Sort,
    table::{self, Shape, Table},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use schemas::API_VERSION;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: &'static str,
    kind: String,
    #[serde(flatten)]
    about: About,
    items: Vec<Item>,
}

/// What is said of the page itself.
#[derive(Serialize)]
struct About {
    metadata: Meta,
    links: Vec<Link>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#continue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_item_count: Option<i64>,
}

/// A link of a list, as OpenStack clients follow it.
#[derive(Serialize)]
pub(crate) struct Link {
    pub rel: &'static str,
    pub href: String,
}

pub(crate) async fn list_or_watch(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    if call.params.flag("watch")?.unwrap_or(false) {
        if call.params.has("sort") {
            return Err(ApiError::invalid("sort", "goes with lists only: a watch tells of changes in the order in which they happen."));
        }
        return watch::watch(ctx, call).await;
    }
    for only_watch in ["timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks"] {
        if call.params.has(only_watch) {
            return Err(ApiError::invalid(only_watch, "goes with watch=1 only."));
        }
    }
    list(ctx, call).await
}

async fn list(ctx: Ctx, call: Call) -> ApiResult<Response> {
    let (kind, shape) = (call.kind()?, Shape::asked(&call)?);
    let mut selection = Selection::parse(kind, &call.params)?;
    let limit = call.params.limit()?;
    let sort = Sort::parse(kind, &call.params)?;
    if let Some(sort) = &sort {
        selection.key.push_str(&sort.key());
    }
    let start = Start::of(&ctx, &call, &selection.key).await?;
    get::wait_for_revision(&ctx, &call).await?;
    let page = match &sort {
        Some(sort) => sort.page(&ctx, kind, &selection, start.after, limit).await?,
        None => reading::page(&ctx, kind, &selection, start.after, limit).await?,
    };
    // Every page carries the first one's revision: list all, then watch from there.
    let revision = start.revision.unwrap_or(page.revision);
    let token = page.next.as_ref().map(|after| ctx.pager.token(&selection.key, after, revision, start.issued.unwrap_or_else(|| ctx.clock.now())));
    let links = links(&ctx, &call, token.as_deref());
    let next = links.get(1).map(|l| format!("<{}>; rel=\"next\"", l.href));
    let metadata = Meta { resource_version: revision.to_string(), r#continue: token, remaining_item_count: page.remaining };
    let about = About { metadata, links };
    let mut response = match shape {
        Shape::Objects => json(StatusCode::OK, &List { api_version: API_VERSION, kind: format!("{}List", kind.kind), about, items: page.items })?,
        Shape::Table => {
            let mut response = json(StatusCode::OK, &Table::of(kind, page.items, ctx.clock.now(), about))?;
            set(&mut response, header::CONTENT_TYPE, table::MEDIA);
            response
        }
    };
    set(&mut response, header::VARY, "Accept");
    if let Some(next) = next {
        set(&mut response, header::LINK, &next);
    }
    Ok(response)
}

/// Where a page begins.
#[derive(Default)]
pub(crate) struct Start {
    pub after: Option<String>,
    pub revision: Option<i64>,
    pub issued: Option<schemas::Time>,
}

impl Start {
    /// By `continue`, by `marker` (after that name, which need not exist), after the later one if both are given (openstacksdk asks
    /// so once at the end of a list), or at the beginning.
    pub async fn of(ctx: &Ctx, call: &Call, key: &str) -> ApiResult<Start> {
        match (call.params.get("continue"), call.params.get("marker")) {
            (None, marker) => Ok(Start { after: marker.map(str::to_string), ..Start::default() }),
            (Some(token), marker) => {
                let history = ctx.registry.store().revision().await?;
                let read = ctx.pager.read(token, key, history.compacted, history.current, ctx.clock.now())?;
                let after = marker.map_or(read.after.as_str(), |marker| marker.max(&read.after)).to_string();
                Ok(Start { after: Some(after), revision: Some(read.revision), issued: Some(schemas::Time(read.issued)) })
            }
        }
    }
}

/// `self`, and `next` if there is one.
pub(crate) fn links(ctx: &Ctx, call: &Call, token: Option<&str>) -> Vec<Link> {
    let here = format!("{}{}", base_url(ctx, call), call.uri.path());
    let mut links = vec![Link { rel: "self", href: format!("{here}{}", query_string(&call.params.without(&[]))) }];
    if let Some(token) = token {
        let mut pairs = call.params.without(&["continue", "marker"]);
        pairs.push(("continue", token));
        links.push(Link { rel: "next", href: format!("{here}{}", query_string(&pairs)) });
    }
    links
}
