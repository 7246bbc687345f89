/** An `EventTarget` whose events have types. */

/** Base of the classes of this library: `Events` maps the name of each event to its `detail`. */
export class Emitter<Events extends object> extends EventTarget {
  /** Calls `listener` with the detail of each such event, until the function returned is called. */
  on<Name extends keyof Events & string>(name: Name, listener: (detail: Events[Name]) => void): () => void {
    const handle = (event: Event) => listener((event as CustomEvent<Events[Name]>).detail);
    this.addEventListener(name, handle);
    return () => this.removeEventListener(name, handle);
  }

  /** Tells the listeners. */
  protected emit<Name extends keyof Events & string>(name: Name, detail: Events[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
