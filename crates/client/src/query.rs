//! Query parameters of lists and watches.

/// Which objects of a kind are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    labels: Option<String>,
    fields: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

impl Query {
    /// All objects.
    pub fn all() -> Self {
        Query::default()
    }

    /// Only the object with this name.
    pub fn named(name: &str) -> Self {
        Query::all().field("metadata.name", name)
    }

    /// Only objects whose labels this selector selects (`a=b,c!=d,e in (x,y)`).
    pub fn labels(mut self, selector: Option<&str>) -> Self {
        self.labels = selector.filter(|s| !s.is_empty()).map(str::to_string);
        self
    }

    /// Only objects with this value in an indexed field: `metadata.name`, `spec.hostRef.name`,
    /// `spec.owner` or `spec.regarding`.
    pub fn field(mut self, path: &str, value: &str) -> Self {
        self.fields = Some(match self.fields {
            Some(before) => format!("{before},{path}={value}"),
            None => format!("{path}={value}"),
        });
        self
    }

    /// At most so many, after this name, for [`crate::Client::list_page`].
    pub fn page(mut self, limit: u32, after: Option<&str>) -> Self {
        self.limit = Some(limit);
        self.after = after.map(str::to_string);
        self
    }

    /// The page that is wanted, as URL parameters.
    pub(crate) fn page_parameters(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.iter().map(|n| ("limit", n.to_string()));
        limit.chain(self.after.iter().map(|a| ("marker", a.clone()))).collect()
    }

    /// As URL parameters.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let labels = self.labels.iter().map(|s| ("labelSelector", s.clone()));
        labels.chain(self.fields.iter().map(|s| ("fieldSelector", s.clone()))).collect()
    }
}
