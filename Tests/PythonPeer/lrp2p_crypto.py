# SPDX-License-Identifier: MIT
"""The cryptography of LRP2P version 1 in plain Python: ChaCha20-Poly1305 (RFC 8439), X25519 (RFC 7748) and the Noise
handshake Noise_XX_25519_ChaChaPoly_BLAKE2b (Noise Protocol Framework, revision 34).  Written for interoperability tests:
it is correct, but nothing in it runs in constant time.  Do not protect anything with it.
"""

import functools
import hashlib
import hmac
import os
from array import array

# --- ChaCha20: all blocks of a datagram at once.  Each of the 16 state words is one big integer with a 64-bit lane for each
# block; a lane holds 32 bits, and what an addition or a shift pushes above them is masked off again.


@functools.lru_cache(maxsize=64)
def _lanes(count):
    """(mask of the 32 bits of each lane, 1 in each lane, the block counter 0, 1, 2 ... in the lanes)"""
    ones = sum(1 << (64 * i) for i in range(count))
    return ones * 0xFFFFFFFF, ones, sum(i << (64 * i) for i in range(count))


def _quarter(a, b, c, d, mask):
    a = (a + b) & mask
    d ^= a
    d = ((d << 16) | (d >> 16)) & mask
    c = (c + d) & mask
    b ^= c
    b = ((b << 12) | (b >> 20)) & mask
    a = (a + b) & mask
    d ^= a
    d = ((d << 8) | (d >> 24)) & mask
    c = (c + d) & mask
    b ^= c
    b = ((b << 7) | (b >> 25)) & mask
    return a, b, c, d


def chacha20_blocks(key, nonce, count):
    """The blocks with counters 0 to count - 1, as 64 * count bytes."""
    mask, ones, counter = _lanes(count)
    words = array("I", b"expand 32-byte k" + key + b"\0\0\0\0" + nonce)
    start = [word * ones for word in words]
    start[12] = counter
    s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15 = start
    for _ in range(10):
        s0, s4, s8, s12 = _quarter(s0, s4, s8, s12, mask)
        s1, s5, s9, s13 = _quarter(s1, s5, s9, s13, mask)
        s2, s6, s10, s14 = _quarter(s2, s6, s10, s14, mask)
        s3, s7, s11, s15 = _quarter(s3, s7, s11, s15, mask)
        s0, s5, s10, s15 = _quarter(s0, s5, s10, s15, mask)
        s1, s6, s11, s12 = _quarter(s1, s6, s11, s12, mask)
        s2, s7, s8, s13 = _quarter(s2, s7, s8, s13, mask)
        s3, s4, s9, s14 = _quarter(s3, s4, s9, s14, mask)
    out = array("I", bytes(64 * count))
    for i, word in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)):
        lanes = ((word + start[i]) & mask).to_bytes(8 * count, "little")
        out[i::16] = array("I", lanes)[0::2]
    return out.tobytes()


def poly1305(key, message):
    """`message` is a multiple of 16 bytes long, as it always is in the AEAD."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    prime, top, acc, number = (1 << 130) - 5, 1 << 128, 0, int.from_bytes
    for i in range(0, len(message), 16):
        acc = (acc + number(message[i:i + 16], "little") + top) * r % prime
    return ((acc + number(key[16:], "little")) & (top - 1)).to_bytes(16, "little")


def _tag(poly_key, ad, text):
    return poly1305(poly_key, ad + bytes(-len(ad) % 16) + text + bytes(-len(text) % 16)
                    + len(ad).to_bytes(8, "little") + len(text).to_bytes(8, "little"))


def _xor(text, stream):
    return (int.from_bytes(text, "little") ^ int.from_bytes(stream[:len(text)], "little")).to_bytes(len(text), "little")


def _nonce(number):
    """Four zero bytes and the number in little-endian: Noise's order for ChaChaPoly, and that of section 3."""
    return b"\0\0\0\0" + number.to_bytes(8, "little")


def seal(key, number, ad, text):
    stream = chacha20_blocks(key, _nonce(number), 1 + (len(text) + 63) // 64)
    text = _xor(text, stream[64:])
    return text + _tag(stream[:32], ad, text)


def unseal(key, number, ad, sealed):
    """The plaintext, or None if the tag is wrong."""
    if len(sealed) < 16:
        return None
    text, tag = sealed[:-16], sealed[-16:]
    stream = chacha20_blocks(key, _nonce(number), 1 + (len(text) + 63) // 64)
    if not hmac.compare_digest(tag, _tag(stream[:32], ad, text)):
        return None
    return _xor(text, stream[64:])


# --- X25519 (RFC 7748, section 5)

_P = 2 ** 255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    x1 = (int.from_bytes(point, "little") & ((1 << 255) - 1)) % _P
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = (k >> t) & 1
        if swap != bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % _P, b * b % _P, d * a % _P, c * b % _P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _P, x1 * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + 121665 * e) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")


# --- Noise


class Failed(Exception):
    """The message is not authentic, too short, or a Diffie-Hellman result was zero."""


def keypair():
    secret = os.urandom(32)
    return secret, x25519(secret, BASE)


def _hmac(key, data):
    return hmac.digest(key, data, "blake2b")  # HASHLEN 64, BLOCKLEN 128


def _hkdf(chaining_key, material):
    temp = _hmac(chaining_key, material)
    first = _hmac(temp, b"\x01")
    return first, _hmac(temp, first + b"\x02")


class NoiseXX:
    """One side's handshake.  All that it holds is immutable, so that copy.copy() gives a trial of a message that may be forged:
    on `Failed` throw the copy away, and nothing has changed."""

    def __init__(self, initiator, static):
        self.initiator, self.s, self.e = initiator, static, keypair()
        self.re = self.rs = self.k = None
        self.n = 0
        self.h = self.ck = b"Noise_XX_25519_ChaChaPoly_BLAKE2b".ljust(64, b"\0")
        self._mix_hash(b"")  # empty prologue

    def _mix_hash(self, data):
        self.h = hashlib.blake2b(self.h + data).digest()

    def _mix_dh(self, pair, public):
        shared = x25519(pair[0], public)
        if shared == bytes(32):
            raise Failed("zero Diffie-Hellman result")
        self.ck, key = _hkdf(self.ck, shared)
        self.k, self.n = key[:32], 0

    def _encrypt(self, text):
        if self.k is not None:
            text = seal(self.k, self.n, self.h, text)
            self.n += 1
        self._mix_hash(text)
        return text

    def _decrypt(self, sealed):
        text = sealed
        if self.k is not None:
            text = unseal(self.k, self.n, self.h, sealed)
            if text is None:
                raise Failed("not authentic")
            self.n += 1
        self._mix_hash(sealed)
        return text

    def _es(self):
        self._mix_dh(*((self.e, self.rs) if self.initiator else (self.s, self.re)))

    def _se(self):
        self._mix_dh(*((self.s, self.re) if self.initiator else (self.e, self.rs)))

    def write(self, message, payload):
        out = b""
        if message in (1, 2):
            out = self.e[1]
            self._mix_hash(out)
        if message == 2:
            self._mix_dh(self.e, self.re)
        if message in (2, 3):
            out += self._encrypt(self.s[1])
            self._es() if message == 2 else self._se()
        return out + self._encrypt(payload)

    def read(self, message, data):
        """The payload; raises `Failed`."""
        if len(data) < {1: 32, 2: 96, 3: 64}[message]:
            raise Failed("too short")
        if message in (1, 2):
            self.re, data = data[:32], data[32:]
            self._mix_hash(self.re)
        if message == 2:
            self._mix_dh(self.e, self.re)
        if message in (2, 3):
            self.rs, data = self._decrypt(data[:48]), data[48:]
            self._es() if message == 2 else self._se()
        return self._decrypt(data)

    def split(self):
        """The transport keys: from the initiator, from the responder."""
        first, second = _hkdf(self.ck, b"")
        return first[:32], second[:32]


def self_test():
    key = bytes(range(0x80, 0xA0))
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.")
    ad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    nonce = bytes.fromhex("070000004041424344454647")  # RFC 8439, 2.8.2 (its nonce is not of our form)
    stream = chacha20_blocks(key, nonce, 3)
    sealed = _xor(text, stream[64:])
    assert sealed[:8].hex() == "d31a8d34648e60db" and _tag(stream[:32], ad, sealed).hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert unseal(key, 5, ad, seal(key, 5, ad, text)) == text and unseal(key, 6, ad, seal(key, 5, ad, text)) is None
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")  # RFC 7748, 5.2
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    a, b = NoiseXX(True, keypair()), NoiseXX(False, keypair())
    for number, (one, other) in enumerate(((a, b), (b, a), (a, b)), 1):
        assert other.read(number, one.write(number, b"payload")) == b"payload"
    assert a.split() == b.split() and a.h == b.h and a.rs == b.s[1] and b.rs == a.s[1]


if __name__ == "__main__":
    import time
    self_test()
    start = time.perf_counter()
    for i in range(200):
        seal(bytes(32), i, bytes(16), bytes(1368))
    print("self-test passed; a datagram of 1400 bytes takes %.2f ms" % ((time.perf_counter() - start) * 5))
