//! What this machine grants the server, and what to change where that is too little.

use std::io;

use klieg_sfu::SOCKET_BUFFER_BYTES;
use socket2::{Domain, Socket, Type};

use crate::config::Config;
use crate::process::max_open_files;
use crate::time::Timestamp;

/// Looks at everything: what there is, or what is too little and what to change.
pub(crate) fn look(config: &Config) -> [Result<String, String>; 3] {
    [
        open_files(config, max_open_files()),
        buffers(granted(SOCKET_BUFFER_BYTES)),
        clock(Timestamp::now()),
    ]
}

/// Compares how many files may be open with what the settings let come.
fn open_files(config: &Config, most: Option<u64>) -> Result<String, String> {
    let Some(most) = most else {
        return Ok("open files: as many as are wanted".to_owned());
    };
    let relay = &config.relay;
    let relayed = relay
        .listen
        .map_or(0, |_| relay.max_allocations + relay.max_connections);
    let needed = u64::try_from(config.max_sockets + relayed).unwrap_or(u64::MAX) + OTHER_FILES;
    if most >= needed {
        return Ok(format!(
            "open files: {most} may be open, and {needed} are enough"
        ));
    }
    Err(format!(
        "open files: {most} may be open, and max_sockets ({}){} let {needed} be wanted: raise the limit (`ulimit -n {needed}`, LimitNOFILE={needed} of systemd, --ulimit nofile={needed} of a container), or lower max_sockets",
        config.max_sockets,
        if relayed > 0 { " and the relay" } else { "" }
    ))
}

/// Says what the kernel gives of the buffers that each media thread asks for: to send, and to receive.
fn buffers(granted: io::Result<(usize, usize)>) -> Result<String, String> {
    let (send, receive) = granted.map_err(|error| format!("socket buffers: {error}"))?;
    let mut missing = Vec::new();
    for (name, bytes) in [("net.core.wmem_max", send), ("net.core.rmem_max", receive)] {
        if bytes < SOCKET_BUFFER_BYTES {
            missing.push(format!("{name}={SOCKET_BUFFER_BYTES}"));
        }
    }
    let (send, receive) = (send / 1024, receive / 1024);
    if missing.is_empty() {
        return Ok(format!(
            "socket buffers: {send} KiB to send, {receive} to receive"
        ));
    }
    Err(format!(
        "socket buffers: the kernel gives {send} KiB to send and {receive} to receive, and many viewers need {}: `sysctl -w {}`, and the same in /etc/sysctl.d (on a container's host)",
        SOCKET_BUFFER_BYTES / 1024,
        missing.join(" ")
    ))
}

/// Asks for buffers as the media port does, and returns what comes of it.
fn granted(bytes: usize) -> io::Result<(usize, usize)> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_send_buffer_size(bytes)?;
    socket.set_recv_buffer_size(bytes)?;
    // Linux tells, and keeps, twice what it lets be used (socket(7)).
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
    Ok((
        socket.send_buffer_size()? / share,
        socket.recv_buffer_size()? / share,
    ))
}

fn clock(now: Timestamp) -> Result<String, String> {
    if now >= MADE {
        return Ok(format!("clock: {now}"));
    }
    Err(format!(
        "clock: {now} is before this program was made: set it (timedatectl set-ntp true), or certificates, tokens and credentials do not hold"
    ))
}

/// Files, the database, and connections to media's TCP port: mostly one of each viewer whose network lets no UDP pass.
const OTHER_FILES: u64 = 1000;

/// Midnight before 2026.
const MADE: Timestamp = Timestamp::from_millis(1_767_225_600_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_told_with_how_many_it_takes() {
        let mut config = Config {
            max_sockets: 15_000,
            ..Config::default()
        };
        assert!(open_files(&config, Some(16_000)).is_ok());
        assert!(open_files(&config, None).is_ok());
        let text = open_files(&config, Some(1024)).unwrap_err();
        assert!(
            text.starts_with("open files: 1024 may be open, and max_sockets (15000) let 16000"),
            "{text}"
        );
        config.relay.listen = Some(([0, 0, 0, 0], 3478).into());
        let text = open_files(&config, Some(16_000)).unwrap_err();
        assert!(
            text.contains("and the relay let 17800 be wanted")
                && text.contains("LimitNOFILE=17800"),
            "{text}"
        );
    }

    #[test]
    fn small_buffers_are_told_with_the_setting_of_the_kernel() {
        let enough = SOCKET_BUFFER_BYTES;
        assert!(buffers(Ok((enough, enough))).is_ok());
        let text = buffers(Ok((212_992, enough))).unwrap_err();
        assert!(
            text.contains("gives 208 KiB to send")
                && text.contains("`sysctl -w net.core.wmem_max=4194304`"),
            "{text}"
        );
        let text = buffers(Ok((212_992, 212_992))).unwrap_err();
        assert!(
            text.contains("net.core.wmem_max=4194304 net.core.rmem_max=4194304"),
            "{text}"
        );
        assert_eq!(granted(8192).unwrap(), (8192, 8192));
    }

    #[test]
    fn a_clock_before_this_program_is_wrong() {
        assert!(clock(Timestamp::now()).is_ok());
        let text = clock(Timestamp::from_millis(0)).unwrap_err();
        assert!(
            text.contains("1970-01-01") && text.contains("set it"),
            "{text}"
        );
    }
}
