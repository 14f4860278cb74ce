"""Finds the IP addresses and networks, of many, that match a text."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Generic, TypeVar

from mwaa_gateway.patterns.matchers import InNetwork, SameAddress, address_of

P = TypeVar("P")


class AddressIndex(Generic[P]):
    """Payloads by address and by network: one look-up for each length of prefix in use, at most 160."""

    __slots__ = ("_addresses", "_networks")

    def __init__(self, items: Iterable[tuple[SameAddress | InNetwork, P]]) -> None:
        self._addresses: dict[IPv4Address | IPv6Address, list[P]] = {}
        self._networks: dict[tuple[int, int], dict[int, list[P]]] = {}  # by version and bits of the host part
        for entry, payload in items:
            match entry:
                case SameAddress(address):
                    self._addresses.setdefault(address, []).append(payload)
                case InNetwork(network):
                    host_bits = network.max_prefixlen - network.prefixlen
                    table = self._networks.setdefault((network.version, host_bits), {})
                    table.setdefault(int(network.network_address) >> host_bits, []).append(payload)

    def find(self, value: Any, found: list[P]) -> None:
        """Add to `found` the payload of each entry that a leaf of an event matches."""
        address = address_of(value)
        if address is None:
            return
        found += self._addresses.get(address, ())
        for (version, host_bits), table in self._networks.items():
            if version == address.version:
                found += table.get(int(address) >> host_bits, ())
