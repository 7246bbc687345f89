//! What the two ends tell each other about the path between them.

pub mod twcc;
