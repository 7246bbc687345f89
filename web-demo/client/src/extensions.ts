/** Header extensions that are good for what is sent, and that browsers do not offer by themselves. */

/** A header extension as `getHeaderExtensionsToNegotiate` tells it. */
interface HeaderExtension {
  uri: string;
  direction: string;
}

/** A transceiver that may be asked for header extensions. */
interface Extensible {
  getHeaderExtensionsToNegotiate?(): HeaderExtension[];
  setHeaderExtensionsToNegotiate?(extensions: HeaderExtension[]): void;
}

const WANTED: ReadonlySet<string> = new Set([
  // By which the server tells the layers of AV1 and H.264 apart.
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension',
  // By which viewers know when a frame was captured.
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
]);

/** Asks for those that the browser has; not every one can be asked. */
export function askForExtensions(transceiver: object): void {
  const extensible = transceiver as Extensible;
  const extensions = extensible.getHeaderExtensionsToNegotiate?.() ?? [];
  const wanted = extensions.filter(({ uri }) => WANTED.has(uri));
  if (wanted.length === 0) return;
  for (const extension of wanted) extension.direction = 'sendrecv';
  extensible.setHeaderExtensionsToNegotiate?.(extensions);
}
