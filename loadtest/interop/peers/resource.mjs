/** A WHIP or WHEP client (RFC 9725, draft-ietf-wish-whep): the session's own address, and what is done there. */

import { emit } from './control.mjs';

/** Posts an offer; resolves with the session's resource, which knows the answer. */
export async function open({ url, token }, offer) {
  const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(url, {
    method: 'POST', headers: { ...authorization, 'Content-Type': 'application/sdp' }, body: offer,
  });
  const body = await response.text();
  if (response.status !== 201) throw new Error(`POST: ${response.status} ${body}`);
  const location = new URL(response.headers.get('location'), url);
  emit('session', { url: location.href, etag: response.headers.get('etag') });
  return new Resource(location, authorization, response.headers.get('etag'), body);
}

class Resource {
  constructor(location, authorization, etag, answer) {
    this.location = location;
    this.authorization = authorization;
    this.etag = etag;
    this.answer = answer;
  }

  /** Restarts ICE: sends the credentials of a new offer, and returns the answer with the server's new ones. */
  async restart(offer) {
    const response = await this.#patch(fragment(offer, []), '"*"');
    if (response.status !== 200) throw new Error(`restart: ${response.status} ${await response.text()}`);
    const theirs = await response.text();
    this.etag = response.headers.get('etag');
    for (const name of ['ice-ufrag', 'ice-pwd']) {
      const line = new RegExp(`a=${name}:[^\r\n]*`, 'g');
      const [found] = line.exec(theirs) ?? [];
      if (found === undefined) throw new Error(`restart: no ${name} in ${theirs}`);
      this.answer = this.answer.replace(line, found);
    }
    return this.answer;
  }

  /** Tells the server of candidates that were found after the offer was sent. */
  async trickle(offer, candidates) {
    const response = await this.#patch(fragment(offer, candidates), this.etag);
    if (response.status !== 204) throw new Error(`trickle: ${response.status} ${await response.text()}`);
  }

  async delete() {
    const response = await fetch(this.location, { method: 'DELETE', headers: this.authorization });
    if (response.status !== 200) throw new Error(`DELETE: ${response.status} ${await response.text()}`);
  }

  #patch(body, tag) {
    const headers = { ...this.authorization, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': tag };
    return fetch(this.location, { method: 'PATCH', headers, body });
  }
}

/** Writes the fragment of RFC 8840 for the first media section, which is the one that bundles the others. */
function fragment(offer, candidates) {
  const first = (pattern) => pattern.exec(offer)?.[0] ?? '';
  const lines = [
    first(/^a=group:BUNDLE [^\r\n]*/m), first(/^a=ice-ufrag:[^\r\n]*/m), first(/^a=ice-pwd:[^\r\n]*/m),
    first(/^m=[^\r\n]*/m), first(/^a=mid:[^\r\n]*/m),
    ...candidates.map((candidate) => `a=${candidate}`), ...candidates.length > 0 ? ['a=end-of-candidates'] : [],
  ];
  return lines.filter((line) => line !== '').map((line) => `${line}\r\n`).join('');
}
