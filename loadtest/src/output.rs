//! Files for reports, opened before the test begins: whoever cannot have one hears it at once.

use std::fs::{File, OpenOptions, remove_file};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// One file.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: File,
    /// Else it goes again with a test that has no report.
    was_there: bool,
}

impl Output {
    /// Opens a file; what is in it stays until it is written.
    ///
    /// # Errors
    /// That it cannot be written, with its path.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let was_there = path.exists();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        Ok(Self {
            file: file.with_context(|| told(path))?,
            path: path.to_owned(),
            was_there,
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// That it cannot be written, with its path.
    pub(crate) fn write(mut self, content: &[u8]) -> anyhow::Result<()> {
        let what = || told(&self.path);
        // A pipe has no length.
        if self.file.metadata().with_context(what)?.is_file() {
            self.file.set_len(0).with_context(what)?;
        }
        self.file.write_all(content).with_context(what)
    }

    /// Leaves everything as it was.
    pub(crate) fn discard(self) {
        if !self.was_there {
            // What cannot be removed is empty.
            let _ = remove_file(&self.path);
        }
    }
}

fn told(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_there_is_a_report() {
        let name = format!("klieg-loadtest-output-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        Output::open(&path).unwrap().discard();
        assert!(!path.exists());
        Output::open(&path)
            .unwrap()
            .write(b"a long report")
            .unwrap();
        Output::open(&path).unwrap().discard();
        assert_eq!(std::fs::read(&path).unwrap(), b"a long report");
        Output::open(&path).unwrap().write(b"short").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        remove_file(&path).unwrap();
        let error = Output::open(Path::new("/no/such/folder/x")).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/x"));
    }
}
