//! What a command found: text for people, and the same as one JSON object.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::{Map, Value};

/// The result of a command.
#[derive(Debug)]
pub struct Report {
    text: String,
    json: Map<String, Value>,
}

impl Report {
    /// A report of a command.
    pub fn new(command: &str) -> Self {
        let mut json = Map::new();
        json.insert("schema".into(), format!("provenn.{command}").into());
        json.insert("version".into(), 1.into());
        json.insert("ok".into(), true.into());
        Self {
            text: String::new(),
            json,
        }
    }

    /// A report that is only text.
    pub fn text(command: &str, text: String) -> Self {
        let mut report = Self::new(command);
        report.json("text", text.clone());
        report.text = text;
        report
    }

    /// Adds a line of text.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Adds a labelled line of text.
    pub fn item(&mut self, label: &str, value: impl AsRef<str>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{label:<12} {}", printable(value.as_ref()));
    }

    /// Adds a table.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        for line in table.to_string().lines() {
            self.line(line.trim_end());
        }
    }

    /// Adds a JSON field.
    pub fn json(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.into(), value.into());
    }

    /// Prints the report on standard output.
    pub fn print(self, json: bool) {
        use std::io::Write;
        let text = if json {
            format!("{}\n", Value::Object(self.json))
        } else {
            self.text
        };
        // A reader that goes away early is no error of ours.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// Text with its control and direction characters written out. Names come from files, and a name
/// must not be able to move the cursor and print over what we say.
pub fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .flat_map(|c| {
            let escaped = harmful(c).then(|| c.escape_default());
            let plain = (!harmful(c)).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A digest, or any bytes, in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// The first few numbers of a tensor.
pub fn preview(values: &[f64]) -> String {
    const SHOWN: usize = 12;
    let mut text = String::from("[");
    for (i, v) in values.iter().take(SHOWN).enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        let _ = write!(text, "{v}");
    }
    if values.len() > SHOWN {
        let _ = write!(text, ", … {} in all", values.len());
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor() {
        let mut report = Report::new("test");
        report.item("input", "x\x1b[1A\x1b[2K\rmodel 5afe\u{202e}");
        report.table(&["name"], vec![vec!["a\x08b".into()]]);
        assert!(!report.text.contains(|c: char| c.is_control() && c != '\n'));
        assert!(!report.text.contains('\u{202e}'));
        assert_eq!(printable("Gemm ×, ü, 层"), "Gemm ×, ü, 层");
    }
}
