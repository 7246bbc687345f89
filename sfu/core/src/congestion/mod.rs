//! What the two ends tell each other about the path between them, and what follows from it: how much a viewer's path
//! carries, and which layer of the picture fits.

pub mod rate;

pub mod twcc;

pub mod feedback;

pub(crate) mod meter;

mod sent;

mod delivered;

mod delay;

mod loss;

mod aimd;

mod path;

pub mod estimate;

pub(crate) mod probe;

pub(crate) mod reports;

pub mod allocate;
