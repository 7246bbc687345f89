/** A socket whose other end is the test. */

interface Sent {
  t: string;
  id: string;
  d: Record<string, unknown>;
}

export class FakeSocket extends EventTarget {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 3;
  readyState = 0;
  readonly sent: Sent[] = [];
  /** Whether pings are answered, as by a server that is well. */
  answersPings = false;

  open(): void {
    this.readyState = this.OPEN;
    this.dispatchEvent(new Event('open'));
  }

  send(text: string): void {
    const message = JSON.parse(text) as Sent;
    this.sent.push(message);
    if (message.t === 'ping' && this.answersPings) queueMicrotask(() => this.ack('ping'));
  }

  close(): void {
    this.readyState = this.CLOSED;
  }

  /** The other end goes away. */
  drop(code = 1006): void {
    this.readyState = this.CLOSED;
    this.dispatchEvent(Object.assign(new Event('close'), { code }));
  }

  receive(message: unknown): void {
    const data = typeof message === 'string' ? message : JSON.stringify(message);
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  /** Acknowledges the last request of a type. */
  ack(t: string, d: Record<string, unknown> = {}): void {
    this.receive({ t: 'ack', d: { re: this.last(t).id, ...d } });
  }

  refuse(t: string, code: string, d: Record<string, unknown> = {}): void {
    this.receive({ t: 'error', d: { re: this.last(t).id, code, message: code, ...d } });
  }

  last(t: string): Sent {
    const found = this.sent.findLast((message) => message.t === t);
    if (found === undefined) throw new Error(`no ${t} among ${this.sent.map((message) => message.t).join(', ')}`);
    return found;
  }

  types(): string[] {
    return this.sent.map(({ t }) => t);
  }
}
