//! What the audience asks the host.

use sqlx::Row as _;
use uuid::Uuid;

use super::journal::Batch;
use super::row::{number, sender};
use super::{Connection, Row, Store};
use crate::id::RoomId;
use crate::store::{
    Author, Floor, MAX_QUESTIONS, Outcome, OwnQuestion, Question, QuestionDeed, Refused, StoreError,
};

impl Store {
    pub(super) async fn asked(
        &self,
        room: &RoomId,
        identity: &str,
    ) -> Result<Vec<OwnQuestion>, StoreError> {
        let rows = sqlx::query(
            "SELECT questions.*,
                    (SELECT COUNT(*) FROM question_votes WHERE room_id = $1 AND question_id = questions.id
                        AND identity = $2) AS own
             FROM questions WHERE room_id = $1 ORDER BY answered, votes DESC, id",
        )
        .bind(room.as_str())
        .bind(identity)
        .fetch_all(self.readers())
        .await?;
        let own = |row: &Row| {
            let own: i64 = row.try_get("own")?;
            let question = question(row)?;
            let voted = own > 0;
            Ok(OwnQuestion { question, voted })
        };
        rows.iter().map(own).collect()
    }
}

impl Batch<'_> {
    /// Does something to a question.
    pub(super) async fn question(
        &self,
        connection: &mut Connection,
        deed: &QuestionDeed,
    ) -> Result<Outcome, StoreError> {
        let done = match deed {
            QuestionDeed::Ask {
                text,
                from,
                client_id,
            } => {
                let client_id = client_id.as_deref();
                self.ask(connection, (text, client_id), from).await?
            }
            QuestionDeed::Vote {
                question,
                up,
                identity,
            } => self.wonder(connection, (question, identity), *up).await?,
            QuestionDeed::Answer { question, answered } => {
                self.answer(connection, question, *answered).await?
            }
            QuestionDeed::Remove { question } => self.forget(connection, question).await?,
        };
        Ok(Outcome::Floor(Box::new(done)))
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        (text, client_id): (&str, Option<&str>),
        from: &Author,
    ) -> Result<Floor, StoreError> {
        let earlier = sqlx::query(
            "SELECT * FROM questions WHERE room_id = $1 AND sender_id = $2 AND client_id = $3",
        )
        .bind(self.room)
        .bind(&from.id)
        .bind(client_id)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(earlier) = earlier {
            let earlier = question(&earlier)?;
            let is_it = earlier.text == text;
            return Ok(if is_it {
                Floor::Question(earlier)
            } else {
                Floor::Refused(Refused::Other)
            });
        }
        let row = sqlx::query("SELECT COUNT(*) AS asked FROM questions WHERE room_id = $1")
            .bind(self.room)
            .fetch_one(&mut *connection)
            .await?;
        let asked: i64 = row.try_get("asked")?;
        if asked >= MAX_QUESTIONS {
            return Ok(Floor::Refused(Refused::Full));
        }
        let row = sqlx::query(
            "INSERT INTO questions (room_id, id, ts, body, sender_id, sender_name, sender_role, client_id,
                                    sender_avatar)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
        )
        .bind(self.room)
        .bind(Uuid::now_v7().to_string())
        .bind(self.ts.millis())
        .bind(text)
        .bind(&from.id)
        .bind(&from.name)
        .bind(from.role.as_str())
        .bind(client_id)
        .bind(&from.avatar_url)
        .fetch_one(connection)
        .await?;
        Ok(Floor::Question(question(&row)?))
    }

    async fn wonder(
        &self,
        connection: &mut Connection,
        (id, identity): (&str, &str),
        up: bool,
    ) -> Result<Floor, StoreError> {
        let Some(there) = self.find(connection, id).await? else {
            return Ok(Floor::Refused(Refused::Missing));
        };
        let change = if up {
            sqlx::query(
                "INSERT INTO question_votes (room_id, question_id, identity) VALUES ($1, $2, $3)
                 ON CONFLICT (room_id, question_id, identity) DO NOTHING",
            )
        } else {
            sqlx::query(
                "DELETE FROM question_votes WHERE room_id = $1 AND question_id = $2 AND identity = $3",
            )
        };
        let changed = change
            .bind(self.room)
            .bind(id)
            .bind(identity)
            .execute(&mut *connection)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(Floor::Question(there));
        }
        let row = sqlx::query(
            "UPDATE questions SET votes = votes + $3 WHERE room_id = $1 AND id = $2 RETURNING *",
        )
        .bind(self.room)
        .bind(id)
        .bind(if up { 1_i64 } else { -1 })
        .fetch_one(connection)
        .await?;
        Ok(Floor::Question(question(&row)?))
    }

    async fn answer(
        &self,
        connection: &mut Connection,
        id: &str,
        answered: bool,
    ) -> Result<Floor, StoreError> {
        let row = sqlx::query(
            "UPDATE questions SET answered = $3 WHERE room_id = $1 AND id = $2 RETURNING *",
        )
        .bind(self.room)
        .bind(id)
        .bind(answered)
        .fetch_optional(connection)
        .await?;
        Ok(match row {
            Some(row) => Floor::Question(question(&row)?),
            None => Floor::Refused(Refused::Missing),
        })
    }

    async fn forget(&self, connection: &mut Connection, id: &str) -> Result<Floor, StoreError> {
        let gone = sqlx::query("DELETE FROM questions WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(id)
            .execute(connection)
            .await?;
        Ok(if gone.rows_affected() == 0 {
            Floor::Refused(Refused::Missing)
        } else {
            Floor::Removed(id.to_owned())
        })
    }

    async fn find(
        &self,
        connection: &mut Connection,
        id: &str,
    ) -> Result<Option<Question>, StoreError> {
        let row = sqlx::query("SELECT * FROM questions WHERE room_id = $1 AND id = $2")
            .bind(self.room)
            .bind(id)
            .fetch_optional(connection)
            .await?;
        row.as_ref().map(question).transpose()
    }
}

fn question(row: &Row) -> Result<Question, StoreError> {
    Ok(Question {
        question_id: row.try_get("id")?,
        ts: row.try_get("ts")?,
        text: row.try_get("body")?,
        from: sender(row)?,
        votes: number(row.try_get("votes")?),
        answered: row.try_get("answered")?,
    })
}
