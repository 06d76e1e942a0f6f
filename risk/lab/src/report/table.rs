//! Tables: consumes headers and rows of text, produces aligned text and HTML.

use std::fmt::Write as _;

use super::number::escaped;

/// On which side the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names and sentences.
    Left,
    /// Numbers.
    Right,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has more or fewer cells than there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<String> = cells.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "one cell per column");
        self.rows.push(row);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned text, two spaces in front of each column, for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines = || std::iter::once(&header).chain(&self.rows);
        let width =
            |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines() {
            let mut out = String::new();
            for (cell, ((_, align), width)) in line.iter().zip(self.columns.iter().zip(&widths)) {
                let _ = match align {
                    Align::Left => write!(out, "  {cell:<width$}"),
                    Align::Right => write!(out, "  {cell:>width$}"),
                };
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }

    /// The same as HTML.
    pub(super) fn to_html(&self) -> String {
        let side = |align: Align| if align == Align::Right { " class=\"num\"" } else { "" };
        let mut html = String::from("<div class=\"scroll\"><table><thead><tr>");
        for (name, align) in &self.columns {
            let _ = write!(html, "<th{}>{}</th>", side(*align), escaped(name));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            html.push_str("<tr>");
            for (cell, (_, align)) in row.iter().zip(&self.columns) {
                let _ = write!(html, "<td{}>{}</td>", side(*align), escaped(cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&[("feature", Align::Left), ("psi", Align::Right)]);
        table.row(["payer.count_1d".to_owned(), "0.012".to_owned()]);
        table.row(["größe <b>".to_owned(), "10.5".to_owned()]);
        let expected =
            "  feature           psi\n  payer.count_1d  0.012\n  größe <b>        10.5\n";
        assert_eq!(table.to_text(), expected);
        assert!(table.to_html().contains("<td>größe &lt;b&gt;</td><td class=\"num\">10.5</td>"));
    }
}
