"""The network that an IP address is in: all that is kept of it, enough for rules about networks, and nobody's own."""

from ipaddress import IPv4Address, IPv6Network, ip_address

import polars as pl

IPV4_BITS, IPV6_BITS = 24, 48
"""Kept of an address."""


def network_of(ip: str | None) -> str | None:
    """`ip` cut to its /24 (IPv4) or /48 (IPv6), in CIDR notation; None if it is no address."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return f"{address.exploded.rpartition('.')[0]}.0/{IPV4_BITS}"
    if address.ipv4_mapped:
        return network_of(str(address.ipv4_mapped))
    return str(IPv6Network((int(address) >> (128 - IPV6_BITS) << (128 - IPV6_BITS), IPV6_BITS)))


def with_network(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the column `network` in place of `ip`."""
    known = {ip: network_of(ip) for ip in rows.get_column("ip").drop_nulls().unique()}
    ips = pl.Series(list(known), dtype=pl.String)
    networks = pl.Series(list(known.values()), dtype=pl.String)
    network = pl.col("ip").replace_strict(ips, networks, default=None, return_dtype=pl.String)
    return rows.with_columns(network=network).drop("ip")
