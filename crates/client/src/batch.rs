//! Many objects at once: `POST /v1/apply` and `/v1/diff`.

use crate::{Client, Error, Exit};
use reqwest::Method;
use serde_json::{Value, json};

/// How objects are applied.
#[derive(Clone, Debug, Default)]
pub struct BatchOptions {
    /// Who declares the fields.
    pub manager: String,
    /// Fields and objects of others are taken over.
    pub force: bool,
    /// Everything is done but the write.
    pub dry_run: bool,
    /// Of a diff: with what the controllers would do.
    pub explain: bool,
    /// The set that they are applied as.
    pub set: Option<SetOptions>,
}

/// How a set is applied.
#[derive(Clone, Debug, Default)]
pub struct SetOptions {
    /// Name of the ApplySet.
    pub name: String,
    /// `All` or `Only`: what is declared no longer is deleted.
    pub prune: Option<&'static str>,
    /// So many may be deleted.
    pub max_deletes: Option<u32>,
    /// What is applied, such as a commit.
    pub revision: Option<String>,
    /// What must have been applied last.
    pub after: Option<String>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchDone {
    /// Of what was sent, in that order.
    pub items: Vec<ItemDone>,
    /// Of what is declared no longer.
    pub pruned: Vec<ItemDone>,
    /// Of a diff: hosts of which something else would be decided.
    pub decisions: Value,
    /// Why nothing was applied; none: it was.
    pub refused: Option<Error>,
}

/// What became of one object.
#[derive(Clone, Debug, Default)]
pub struct ItemDone {
    /// Its kind; empty if the server could not read it.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `created`, `configured`, `unchanged`, `deleted`, …; or `conflict`, `invalid`, `failed`. Empty if nothing was done.
    pub result: String,
    /// What would have been done, if nothing was because of others.
    pub would_be: String,
    /// Code without the service prefix, if it failed.
    pub code: String,
    /// Why it failed, or was not done.
    pub message: String,
    /// How it stands; of a diff only.
    pub live: Value,
    /// How it would stand; of a diff only.
    pub merged: Value,
    /// What the controllers would do about it then; of a diff only.
    pub explain: Value,
}

impl ItemDone {
    fn read(value: &Value) -> ItemDone {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_string();
        let code = text("code");
        ItemDone {
            kind: text("kind"),
            name: text("name"),
            result: text("result"),
            would_be: text("wouldBe"),
            code: code.rsplit_once('.').map_or(code.clone(), |(_, suffix)| suffix.into()),
            message: text("message"),
            explain: value["explain"].clone(),
            live: value["live"].clone(),
            merged: value["merged"].clone(),
        }
    }

    /// The exit code that its failure asks for; none if it did not fail.
    pub fn exit(&self) -> Option<Exit> {
        match self.result.as_str() {
            "conflict" => Some(Exit::Conflict),
            "invalid" if self.code == "forbidden" => Some(Exit::Auth),
            "invalid" if self.code == "not-found" => Some(Exit::NotFound),
            "invalid" => Some(Exit::Usage),
            "failed" => Some(Exit::Internal),
            _ => None,
        }
    }
}

impl BatchOptions {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("fieldManager", self.manager.clone())];
        let flags = [("force", self.force, "true"), ("dryRun", self.dry_run, "All"), ("explain", self.explain, "true")];
        parameters.extend(flags.into_iter().filter(|(_, set, _)| *set).map(|(name, _, value)| (name, value.to_string())));
        let Some(set) = &self.set else { return parameters };
        parameters.push(("applySet", set.name.clone()));
        let more = [
            ("prune", set.prune.map(String::from)),
            ("maxDeletes", set.max_deletes.map(|n| n.to_string())),
            ("revision", set.revision.clone()),
            ("afterRevision", set.after.clone()),
        ];
        parameters.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        parameters
    }
}

impl Client {
    /// Applies objects. That the server refuses them is no error of the call: it stands in what became of them.
    ///
    /// # Errors
    /// The server could not be asked, or says nothing about single objects.
    pub async fn apply_all(&self, objects: &[Value], options: &BatchOptions) -> Result<BatchDone, Error> {
        self.batch("/v1/apply", objects, options).await
    }

    /// What [`Client::apply_all`] would change.
    ///
    /// # Errors
    /// As there.
    pub async fn diff_all(&self, objects: &[Value], options: &BatchOptions) -> Result<BatchDone, Error> {
        self.batch("/v1/diff", objects, options).await
    }

    async fn batch(&self, path: &str, objects: &[Value], options: &BatchOptions) -> Result<BatchDone, Error> {
        let body = json!({"apiVersion": schemas::API_VERSION, "kind": "List", "items": objects});
        let read = |value: &Value| value.as_array().into_iter().flatten().map(ItemDone::read).collect::<Vec<_>>();
        match self.json(Method::POST, path, &options.parameters(), Some(&body)).await {
            Ok(answer) => Ok(BatchDone {
                items: read(&answer["items"]),
                pruned: read(&answer["pruned"]),
                decisions: answer["decisions"].clone(),
                refused: None,
            }),
            Err(Error::Api(error)) if !error.items.is_empty() => {
                Ok(BatchDone { items: error.items.iter().map(ItemDone::read).collect(), refused: Some(Error::Api(error)), ..BatchDone::default() })
            }
            Err(error) => Err(error),
        }
    }
}
