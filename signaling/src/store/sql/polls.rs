//! What a host asks the audience.

use sqlx::Row as _;

use super::journal::Batch;
use super::row::number;
use super::{Connection, Row, Store};
use crate::id::RoomId;
use crate::store::{
    Floor, FloorStore, MAX_POLLS, Outcome, OwnPoll, OwnQuestion, Poll, PollDeed, PollOpening,
    PollOption, Refused, StoreError, Stored, promptly,
};

impl FloorStore for Store {
    fn polls<'a>(&'a self, room: &'a RoomId, identity: &'a str) -> Stored<'a, Vec<OwnPoll>> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            let rows = sqlx::query(
                "SELECT * FROM polls WHERE room_id = $1 ORDER BY opened_at DESC, id DESC",
            )
            .bind(room.as_str())
            .fetch_all(&mut *connection)
            .await?;
            let mut polls = Vec::with_capacity(rows.len());
            for row in &rows {
                let poll = whole(&mut connection, room.as_str(), row).await?;
                let chosen = chosen(&mut connection, room.as_str(), (&poll.poll_id, identity));
                let chosen = chosen.await?.and_then(|it| u8::try_from(it).ok());
                polls.push(OwnPoll { poll, chosen });
            }
            Ok(polls)
        })
    }

    fn last_poll<'a>(&'a self, room: &'a RoomId) -> Stored<'a, Option<Poll>> {
        promptly(async move {
            let mut connection = self.readers().acquire().await?;
            let row = sqlx::query(
                "SELECT * FROM polls WHERE room_id = $1 ORDER BY opened_at DESC, id DESC LIMIT 1",
            )
            .bind(room.as_str())
            .fetch_optional(&mut *connection)
            .await?;
            match row {
                Some(row) => Ok(Some(whole(&mut connection, room.as_str(), &row).await?)),
                None => Ok(None),
            }
        })
    }

    fn questions<'a>(
        &'a self,
        room: &'a RoomId,
        identity: &'a str,
    ) -> Stored<'a, Vec<OwnQuestion>> {
        promptly(self.asked(room, identity))
    }
}

impl Batch<'_> {
    /// Does something to a poll.
    pub(super) async fn poll(
        &self,
        connection: &mut Connection,
        deed: &PollDeed,
    ) -> Result<Outcome, StoreError> {
        let done = match deed {
            PollDeed::Open(poll) => match self.found(connection, &poll.id).await? {
                Ok(opened) => Ok(opened),
                Err(_) => self.open(connection, poll).await?,
            },
            PollDeed::Close { poll } => self.close(connection, poll).await?,
            PollDeed::Vote {
                poll,
                choice,
                identity,
            } => {
                let choice = i64::from(*choice);
                self.vote(connection, (poll, identity), choice).await?
            }
        };
        Ok(Outcome::Floor(Box::new(match done {
            Ok(poll) => Floor::Poll(poll),
            Err(refused) => Floor::Refused(refused),
        })))
    }

    async fn open(
        &self,
        connection: &mut Connection,
        PollOpening {
            id,
            question,
            options,
        }: &PollOpening,
    ) -> Result<Result<Poll, Refused>, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS polls, COUNT(*) - COUNT(closed_at) AS open FROM polls WHERE room_id = $1",
        )
        .bind(self.room)
        .fetch_one(&mut *connection)
        .await?;
        let (polls, open): (i64, i64) = (row.try_get("polls")?, row.try_get("open")?);
        if open > 0 {
            return Ok(Err(Refused::Open));
        }
        if polls >= MAX_POLLS {
            return Ok(Err(Refused::Full));
        }
        sqlx::query("INSERT INTO polls (room_id, id, question, opened_at) VALUES ($1, $2, $3, $4)")
            .bind(self.room)
            .bind(id)
            .bind(question)
            .bind(self.ts.millis())
            .execute(&mut *connection)
            .await?;
        for (position, text) in (0_i64..).zip(options) {
            sqlx::query(
                "INSERT INTO poll_options (room_id, poll_id, position, body) VALUES ($1, $2, $3, $4)",
            )
            .bind(self.room)
            .bind(id)
            .bind(position)
            .bind(text)
            .execute(&mut *connection)
            .await?;
        }
        self.found(connection, id).await
    }

    async fn close(
        &self,
        connection: &mut Connection,
        poll: &str,
    ) -> Result<Result<Poll, Refused>, StoreError> {
        sqlx::query(
            "UPDATE polls SET closed_at = COALESCE(closed_at, $3) WHERE room_id = $1 AND id = $2",
        )
        .bind(self.room)
        .bind(poll)
        .bind(self.ts.millis())
        .execute(&mut *connection)
        .await?;
        self.found(connection, poll).await
    }

    async fn vote(
        &self,
        connection: &mut Connection,
        (poll, identity): (&str, &str),
        choice: i64,
    ) -> Result<Result<Poll, Refused>, StoreError> {
        let found = match self.found(connection, poll).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        if !found.open {
            return Ok(Err(Refused::Closed));
        }
        if number(choice) >= found.options.len() as u64 {
            return Ok(Err(Refused::Choice));
        }
        let before = chosen(connection, self.room, (poll, identity)).await?;
        if before == Some(choice) {
            return Ok(Ok(found));
        }
        sqlx::query(
            "INSERT INTO poll_votes (room_id, poll_id, identity, choice) VALUES ($1, $2, $3, $4)
             ON CONFLICT (room_id, poll_id, identity) DO UPDATE SET choice = excluded.choice",
        )
        .bind(self.room)
        .bind(poll)
        .bind(identity)
        .bind(choice)
        .execute(&mut *connection)
        .await?;
        for (option, more) in [(before, -1_i64), (Some(choice), 1)] {
            sqlx::query(
                "UPDATE poll_options SET votes = votes + $4
                 WHERE room_id = $1 AND poll_id = $2 AND position = $3",
            )
            .bind(self.room)
            .bind(poll)
            .bind(option)
            .bind(more)
            .execute(&mut *connection)
            .await?;
        }
        self.found(connection, poll).await
    }

    async fn found(
        &self,
        connection: &mut Connection,
        poll: &str,
    ) -> Result<Result<Poll, Refused>, StoreError> {
        let row = sqlx::query("SELECT * FROM polls WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(poll)
            .fetch_optional(&mut *connection)
            .await?;
        Ok(match row {
            Some(row) => Ok(whole(connection, self.room, &row).await?),
            None => Err(Refused::Missing),
        })
    }
}

/// Reads a poll and its options.
async fn whole(connection: &mut Connection, room: &str, row: &Row) -> Result<Poll, StoreError> {
    let poll_id: String = row.try_get("id")?;
    let options = sqlx::query(
        "SELECT body, votes FROM poll_options WHERE room_id = $1 AND poll_id = $2 ORDER BY position",
    )
    .bind(room)
    .bind(&poll_id)
    .fetch_all(connection)
    .await?;
    let option = |row: &Row| {
        Ok(PollOption {
            text: row.try_get("body")?,
            votes: number(row.try_get("votes")?),
        })
    };
    let closed_at: Option<i64> = row.try_get("closed_at")?;
    Ok(Poll {
        poll_id,
        question: row.try_get("question")?,
        options: options
            .iter()
            .map(option)
            .collect::<Result<_, StoreError>>()?,
        open: closed_at.is_none(),
        opened_at: row.try_get("opened_at")?,
        closed_at,
    })
}

/// Returns the place of the option that somebody chose.
async fn chosen(
    connection: &mut Connection,
    room: &str,
    (poll, identity): (&str, &str),
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "SELECT choice FROM poll_votes WHERE room_id = $1 AND poll_id = $2 AND identity = $3",
    )
    .bind(room)
    .bind(poll)
    .bind(identity)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.try_get("choice")).transpose()?)
}
