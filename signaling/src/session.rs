//! One peer's negotiation, without input or output: session descriptions in, session descriptions and
//! commands to the forwarding unit out. The WebSocket and, later, WHIP and WHEP are only envelopes around it.
