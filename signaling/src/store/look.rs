//! How a database stands, for those who look before a server uses it. Nothing is changed.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;

use super::{Location, StoreError, postgres, sqlite};

/// How a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There are no tables: the server makes them.
    Empty,
    /// The server has so many steps to bring its tables up to.
    Behind(usize),
    /// Its tables are as this version has them.
    Current,
    /// A newer version wrote it: this one does not start with it.
    Ahead,
    /// Its tables were made by steps that are not those of any release.
    Foreign,
}

/// Opens a database, looks at its tables and closes it.
///
/// # Errors
/// It cannot be reached or read.
pub(crate) async fn look(location: &Location) -> Result<Standing, StoreError> {
    match location {
        Location::Sqlite(file) => sqlite::look(file).await,
        Location::Postgres(url) => postgres::look(url.expose()).await,
    }
}

/// Compares the steps that a database has gone, by their numbers and checksums, with those that there are.
pub(super) fn compare(gone: &BTreeMap<i64, Vec<u8>>, migrations: &Migrator) -> Standing {
    let known: BTreeMap<i64, &[u8]> = migrations
        .iter()
        .map(|step| (step.version, step.checksum.as_ref()))
        .collect();
    let newest = known.keys().next_back().copied().unwrap_or_default();
    if gone.is_empty() {
        return Standing::Empty;
    }
    if gone.keys().any(|version| *version > newest) {
        return Standing::Ahead;
    }
    let same =
        |(version, checksum): (&i64, &Vec<u8>)| known.get(version) == Some(&checksum.as_slice());
    match known.len() - gone.len().min(known.len()) {
        _ if !gone.iter().all(same) => Standing::Foreign,
        0 => Standing::Current,
        missing => Standing::Behind(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_compared_by_the_steps_that_it_has_gone() {
        let migrations = &sqlite::MIGRATIONS;
        let all: BTreeMap<i64, Vec<u8>> = migrations
            .iter()
            .map(|step| (step.version, step.checksum.to_vec()))
            .collect();
        assert_eq!(compare(&BTreeMap::new(), migrations), Standing::Empty);
        assert_eq!(compare(&all, migrations), Standing::Current);
        let mut older = all.clone();
        older.pop_last();
        assert_eq!(compare(&older, migrations), Standing::Behind(1));
        let mut newer = all.clone();
        newer.insert(9_999, vec![1]);
        assert_eq!(compare(&newer, migrations), Standing::Ahead);
        let mut foreign = all;
        foreign.insert(1, vec![1]);
        assert_eq!(compare(&foreign, migrations), Standing::Foreign);
    }
}
