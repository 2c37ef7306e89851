"""Who we say we are to a cluster. Secrets live here and are never printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aegan.errors import AeganError

SHORTEST_SECRET = 4


def one_word(text: str, what: str) -> str:
    """The token in a text, without the space around it, such as the end of its line.

    Raises:
        AeganError: there is none that a request can carry; the message does not show it.
    """
    found = text.strip()
    if not re.fullmatch(r"[!-~]+", found):
        raise AeganError(f"{what} holds no token: expected one word of ASCII characters")
    return found


class Credentials:
    """A bearer token, a session cookie, both or neither.

    A token file is read again for each request, because Kubernetes rotates it.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        token_file: str | None = None,
        cookie: str | None = None,
        iap_client_id: str | None = None,
    ):
        """Take what there is; of a token, the first that is given counts.

        Args:
            token: a bearer token.
            token_file: path of a file with a bearer token.
            cookie: the header Cookie, such as `oauth2_proxy_kubeflow=…`.
            iap_client_id: OAuth client of Google's Identity-Aware Proxy, for an ID token made from the
                application default credentials.

        Raises:
            AeganError: the token is no word that a request can carry.
        """
        self._token = None if token is None else one_word(token, "AEGAN_TOKEN or the context file")
        self._file, self._cookie = token_file, cookie
        self._client_id = iap_client_id
        self._fetched: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.describe()})"

    def describe(self) -> str:
        """What there is, without its contents."""
        if self._token:
            found = "a bearer token"
        elif self._file:
            found = f"the token of {self._file}"
        elif self._client_id:
            found = "an ID token for the Identity-Aware Proxy"
        else:
            return "a session cookie" if self._cookie else "no credentials"
        return f"{found} and a session cookie" if self._cookie else found

    def headers(self) -> dict[str, str]:
        """Headers of one request.

        Raises:
            AeganError: a token file cannot be read, or Google gives no ID token.
        """
        token = self._token or self._from_file() or self._from_google()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return headers | ({"Cookie": self._cookie} if self._cookie else {})

    def renew(self) -> bool:
        """Whether another token can be had after the last was not accepted."""
        if self._client_id is None or self._token or self._file:
            return False
        self._fetched = None
        return True

    def redact(self, text: str) -> str:
        """A text without the secrets, should a server echo them."""
        cookies = [pair.partition("=")[2] for pair in (self._cookie or "").split("; ")]
        for secret in (self._token, self._fetched, self._cookie, *cookies):
            if secret and len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text

    def _from_file(self) -> str | None:
        if self._file is None:
            return None
        try:
            token = Path(self._file).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise AeganError(f"cannot read the token file {self._file}: {reason}") from None
        self._fetched = one_word(token, f"the token file {self._file}")
        return self._fetched

    def _from_google(self) -> str | None:
        if self._client_id is None:
            return None
        if self._fetched is None:
            try:
                from google.auth.transport.requests import Request
                from google.oauth2 import id_token

                fetch: Any = id_token.fetch_id_token  # has no types
                self._fetched = str(fetch(Request(), self._client_id))
            except Exception as error:  # a dozen kinds, of two libraries
                raise AeganError(
                    f"Google gave no ID token for the Identity-Aware Proxy ({type(error).__name__});"
                    " set GOOGLE_APPLICATION_CREDENTIALS to a service account's key, or run on a"
                    " Google machine whose service account may pass"
                ) from None
        return self._fetched
