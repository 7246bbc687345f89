//! The real server on free ports, seen from outside: REST, sockets, media.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests, too"
)]

mod harness;

mod schema;

#[path = "../support/postgres.rs"]
mod postgres;

#[path = "../support/pebble.rs"]
mod pebble;

mod peer;

mod wire;

mod people;

mod accounts;

mod matrix;

mod tokens;

mod refresh;

mod relay;

mod reflector;

mod regions;

mod admin;

mod discovery;

mod drain;

mod several;

mod webhooks;

mod chat;

mod order;

mod moderation;

mod addresses;

mod shop;

mod profiles;

mod thumbnails;

mod frames;

mod audience;

mod analytics;

mod limits;

mod breaks;

mod takeover;

mod rest;

mod rooms;

mod outage;

mod process;

mod tls;

mod shared_port;

mod media;

mod wish;

mod layers;
