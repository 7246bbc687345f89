"""Says of one run what was lost, how evenly, how late, and what the server counted: load_summary.py JSON METRICS"""

import json
import re
import sys

# Counters of the server that say what it did without, besides those of what it dropped.
COUNTERS = (
    "klieg_sfu_skipped_total",
    "klieg_sfu_receive_queue_dropped_total",
    "klieg_sfu_send_waits_total",
    "klieg_sfu_plain_runs_total",
    "klieg_sfu_nacked_by_viewers_total",
    "klieg_sfu_resent_total",
    "klieg_sfu_resend_missing_total",
    "klieg_sfu_resend_refused_total",
    "klieg_media_busy_total",
)
ADDED = "klieg_sfu_added_latency_seconds"


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as report, open(sys.argv[2], encoding="utf-8") as metrics:
        of_viewers(json.load(report))
        of_server(metrics.read())


def of_viewers(report: dict) -> None:
    steady, joins = report["steady"], report["joins"]
    print("\nas the viewers saw it")
    lost, arrived = (sum(report[kind][what] for kind in ("video", "audio")) for what in ("lost", "packets"))
    row("lost", f"{lost:,} of {lost + arrived:,} packets")
    row("left out without a gap", f"{report['leftOut']:,} packets")
    row("without a whole picture", f"{joins['visits'] - joins['watching'] - joins['cutShort']} of {joins['visits']}")
    if each := steady["packetsPerViewer"]:
        row("packets of one viewer", f"{each['least']:,} least, {each['median']:,} middle, {each['most']:,} most in {steady['seconds']:.0f} s")
    if late := steady["packetDelayUs"]:
        row("last packet sent → there", f"{late['p50'] / 1000:,.0f} ms p50, {late['p99'] / 1000:,.0f} ms p99")
    if server := steady["server"]:
        row("server", f"{server['cores']:.2f} cores, {server['cpuNsPerPacket']:,.0f} ns a packet and viewer")
    if cost := report["joinCost"]:
        row("a join", f"{cost['cpuUsPerJoin']:,.0f} µs of the server's processor time")
    of_chatters(report)
    if came := report["samples"]:
        each = [after["connected"] - before["connected"] for before, after in zip(came, came[1:])]
        row("joins in each second", ", ".join(f"{count:,}" for count in each if count > 0))
    for bottleneck in steady["generator"]["bottlenecks"]:
        row("the load test's own limit", bottleneck)


def of_chatters(report: dict) -> None:
    if not (chatters := report["chatters"]):
        return
    row("sockets without a picture", f"{chatters['letIn']:,} of {chatters['visits']:,}")
    if talk := report["steady"]["talk"]:
        delivered, per_core = talk["deliveredPerSecond"], talk["deliveredPerSecondPerCore"]
        row("chat heard", f"{delivered:,.0f} a second, {per_core or 0:,.0f} a second and core of the server")
    stalled = report["stalled"] or {}
    for name, part in (("before some read no more", "before"), ("after it, of the others", "after")):
        if late := (stalled.get(part) or {}).get("deliveryUs"):
            row(f"chat sent → heard, {name}", f"{late['p50'] / 1000:,.0f} ms p50, {late['p99'] / 1000:,.0f} ms p99")
    if not stalled and (late := (report["steady"]["talk"] or {}).get("deliveryUs")):
        row("chat sent → heard", f"{late['p50'] / 1000:,.0f} ms p50, {late['p99'] / 1000:,.0f} ms p99")
    if chatters["silent"]:
        ends = "; ".join(f"{count}: {why}" for why, count in chatters["closed"]) or "none was closed"
        row("read no more for a while", f"{chatters['silent']:,}, {ends}")
    if each := chatters["bytesPerSecond"]:
        row("bytes a second to each", f"{each['least']:,} to {each['most']:,}, {each['median']:,} in the middle")


def of_server(metrics: str) -> None:
    totals = {name: float(value) for name, value in re.findall(r"^(klieg_\S+) (\S+)$", metrics, re.MULTILINE)}
    print("as the server counted it")
    told = ("klieg_sfu_dropped_total", "klieg_sockets_closed_total")
    for name, value in sorted((name, value) for name, value in totals.items() if name.startswith(told) and value):
        row(name, f"{value:,.0f}")
    for name in COUNTERS:
        row(name, f"{totals[name]:,.0f}" if name in totals else "not told")
    buckets = re.findall(rf'^{ADDED}_bucket{{[^}}]*le="([^"]+)"[^}}]*}} (\S+)$', metrics, re.MULTILINE)
    within: dict[str, float] = {}
    for bound, count in buckets:
        within[bound] = within.get(bound, 0) + float(count)
    if all_of_them := within.get("+Inf"):
        shares = [f"{within[bound] / all_of_them:.1%} ≤ {float(bound) * 1000:g} ms" for bound in ("0.005", "0.01", "0.02", "0.05") if bound in within]
        row("added latency", ", ".join(shares))


def row(name: str, value: str) -> None:
    print(f"  {name:42} {value}")


main()
