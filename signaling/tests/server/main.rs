//! The real server on free ports, seen from outside: REST, sockets, media.

mod harness;

mod peer;

mod wire;

mod people;

mod chat;

mod limits;

mod rest;

mod process;

mod media;
