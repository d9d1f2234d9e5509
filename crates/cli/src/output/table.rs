//! Plain columns, two spaces apart, as `awk` and people like them.

use schemas::{Column, DynObject, KindInfo, Time};

/// Rows of text under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        let headings: Vec<String> = headings.into_iter().map(Into::into).collect();
        let widths = headings.iter().map(|h| h.chars().count()).collect();
        Table { headings, rows: Vec::new(), widths }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        // A line break or a control character in a cell would break the rows, or the terminal.
        let cells: Vec<String> = cells.into_iter().map(|c| c.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All lines, headings first.
    pub fn render(&self) -> String {
        let lines: Vec<String> = std::iter::once(&self.headings).chain(&self.rows).map(|cells| self.line(cells)).collect();
        lines.join("\n")
    }

    /// Only these columns, in this order; case does not matter.
    ///
    /// # Errors
    /// There is no such column; says which there are.
    pub fn select(&self, columns: &[String]) -> Result<Table, String> {
        let place = |name: &String| {
            let found = self.headings.iter().position(|h| h.eq_ignore_ascii_case(name));
            found.ok_or_else(|| format!("there is no column '{name}'; there are {}", self.headings.join(", ")))
        };
        let places = columns.iter().map(place).collect::<Result<Vec<usize>, String>>()?;
        let pick = |cells: &[String]| places.iter().map(|at| cells[*at].clone()).collect::<Vec<_>>();
        let mut picked = Table::new(pick(&self.headings));
        self.rows.iter().for_each(|row| picked.row(pick(row)));
        Ok(picked)
    }

    /// As comma-separated values (RFC 4180), headings first.
    pub fn csv(&self) -> String {
        let quoted = |cell: &String| match cell.contains([',', '"']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |cells: &Vec<String>| cells.iter().map(quoted).collect::<Vec<_>>().join(",");
        std::iter::once(&self.headings).chain(&self.rows).map(line).collect::<Vec<_>>().join("\n")
    }

    /// The cells alone, a space between them.
    pub fn values(&self) -> String {
        self.rows.iter().map(|cells| cells.join(" ")).collect::<Vec<_>>().join("\n")
    }

    /// Each row as an object whose members are the columns.
    pub fn objects(&self) -> Vec<serde_json::Value> {
        let members = |cells: &Vec<String>| self.headings.iter().cloned().zip(cells.iter().cloned().map(Into::into)).collect();
        self.rows.iter().map(|cells| serde_json::Value::Object(members(cells))).collect()
    }

    /// The last row alone, with the widths of all rows so far.
    pub fn last_line(&self) -> String {
        self.rows.last().map(|cells| self.line(cells)).unwrap_or_default()
    }

    fn line(&self, cells: &[String]) -> String {
        let padded: Vec<String> = cells.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_string()
    }
}

/// Headings and cells of the objects of one kind.
pub struct Columns {
    columns: Vec<Column>,
}

impl Columns {
    /// The columns of a kind, all of them if `wide`.
    pub fn of(kind: &KindInfo, wide: bool) -> Self {
        Columns { columns: kind.columns.iter().filter(|c| wide || !c.wide).copied().collect() }
    }

    /// An empty table with NAME and these columns.
    pub fn table(&self) -> Table {
        Table::new(std::iter::once("NAME").chain(self.columns.iter().map(|c| c.name)))
    }

    /// The cells of an object.
    pub fn cells(&self, object: &DynObject, now: Time) -> Vec<String> {
        std::iter::once(object.metadata.name.clone()).chain(self.columns.iter().map(|c| c.text(object, now))).collect()
    }
}

/// The wall clock, for ages.
pub fn now() -> Time {
    Time(jiff::Timestamp::now().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_hangs_over() {
        let mut table = Table::new(["NAME", "READY", "NOTE"]);
        table.row(["compute-1", "True", "-"]);
        table.row(["c2", "Unknown", "two\nlines"]);
        assert_eq!(table.render(), "NAME       READY    NOTE\ncompute-1  True     -\nc2         Unknown  two lines");
        assert_eq!(table.last_line(), "c2         Unknown  two lines");
    }

    #[test]
    fn columns_can_be_picked_and_printed_as_other_openstack_clients_print_them() {
        let mut table = Table::new(["NAME", "READY", "NOTE"]);
        table.row(["c1", "True", "off, and \"fenced\""]);
        let picked = table.select(&["note".into(), "Name".into()]).unwrap();
        assert_eq!(picked.csv(), "NOTE,NAME\n\"off, and \"\"fenced\"\"\",c1");
        assert_eq!(picked.values(), "off, and \"fenced\" c1");
        assert_eq!(json!(picked.objects()), json!([{"NOTE": "off, and \"fenced\"", "NAME": "c1"}]));
        assert_eq!(table.select(&["power".into()]).unwrap_err(), "there is no column 'power'; there are NAME, READY, NOTE");
    }

    #[test]
    fn a_host_shows_its_conditions_and_what_is_not_known_as_unknown() {
        let kind = schemas::kinds::find("host").unwrap();
        let host = DynObject {
            status: json!({"conditions": [{"type": "Ready", "status": "False", "reason": "HostInDoubt"}], "power": {"state": "On"}, "guests": {"total": 4}}),
            ..DynObject::new("Host", "c1", json!({"power": "Off"}))
        };
        let columns = Columns::of(kind, false);
        let mut table = columns.table();
        table.row(columns.cells(&host, Time(0)));
        assert_eq!(table.render().lines().last().unwrap(), "c1    False  HostInDoubt  On     -     -           Unknown  4       -");
        let wide = Columns::of(kind, true);
        assert!(wide.table().render().contains("EPOCH"));
        assert!(wide.cells(&host, Time(0)).contains(&"Off".to_string()));
    }
}
