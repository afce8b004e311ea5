"""tokens.py - an issuer of JSON web tokens: keys, key sets, tokens made by PyJWT (so not by the code that is tested), and forged ones."""
import base64
import hashlib
import hmac
import json
import time

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CURVES = {"ES256": (ec.SECP256R1, "P-256", 32, hashes.SHA256), "ES384": (ec.SECP384R1, "P-384", 48, hashes.SHA384),
          "ES512": (ec.SECP521R1, "P-521", 66, hashes.SHA512)}


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, size=None):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


class Key:
    """A private key with its name. alg: RS256, PS256 ..., ES256 ..., HS256."""

    def __init__(self, alg, kid, bits=2048, secret=b"0123456789abcdef0123456789abcdef"):
        self.alg, self.kid = alg, kid
        if alg[:2] in ("RS", "PS"):
            self.private = rsa.generate_private_key(65537, bits)
        elif alg[:2] == "ES":
            self.private = ec.generate_private_key(CURVES[alg][0]())
        else:
            self.private = secret

    @property
    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self, **more):
        if self.alg[:2] in ("RS", "PS"):
            n = self.private.public_key().public_numbers()
            shape = {"kty": "RSA", "n": number(n.n), "e": number(n.e)}
        elif self.alg[:2] == "ES":
            n, (_, crv, size, _) = self.private.public_key().public_numbers(), CURVES[self.alg]
            shape = {"kty": "EC", "crv": crv, "x": number(n.x, size), "y": number(n.y, size)}
        else:
            shape = {"kty": "oct", "k": b64(self.private)}
        return {**shape, "kid": self.kid, "use": "sig", **more}

    def token(self, header=None, alg=None, **claims):
        """Good for a minute, for the audience `app`, unless claims say otherwise; a claim of None is left out."""
        claims = {"sub": "ann", "aud": "app", "exp": int(time.time()) + 60, **claims}
        claims = {k: v for k, v in claims.items() if v is not None}
        return jwt.api_jws.encode(json.dumps(claims).encode(), self.private, alg or self.alg, headers={"kid": self.kid, **(header or {})})

    def sign(self, header, payload):
        """Any header and payload at all, bytes too, under a good signature."""
        signed = f"{b64(header)}.{b64(payload)}".encode()
        if self.alg == "RS256":
            signature = self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            _, _, size, digest = CURVES[self.alg]
            r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(digest())))
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{signed.decode()}.{b64(signature)}"


def key_set(*keys):
    return json.dumps({"keys": [k.jwk() if isinstance(k, Key) else k for k in keys]})


def with_secret(header, claims, secret):
    """Signed with HMAC and any bytes as the secret: what PyJWT rightly refuses to do with a public key."""
    signed = f"{b64(header)}.{b64(claims)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def bearer(token):
    return f"Authorization: Bearer {token}"
