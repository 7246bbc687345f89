import { expect, test } from 'vitest';
import { KliegError, describeCodec, describeError, describeLayers, describePublisher, describeRemedy, describeViewer } from '../src/index.js';
import type { Layers } from '../src/index.js';
import { judge } from '../src/viewer.js';
import type { Evidence } from '../src/viewer.js';
import { snapshot } from './joined-room.js';

const playing: Evidence = {
  connection: 'joined', publisher: snapshot().publisher, ended: false, layers: undefined, frames: 10, moves: false, stalled: false, error: undefined,
};

test.each<[string, Partial<Evidence>, string]>([
  ['before the answer', { connection: 'connecting', publisher: undefined }, 'Connecting…'],
  ['without a publisher', { publisher: { ...snapshot().publisher, state: 'none' } }, 'Waiting for the host'],
  ['after the show', { publisher: { ...snapshot().publisher, state: 'none' }, ended: true }, 'The show has ended'],
  ['with a lost publisher', { publisher: { ...snapshot().publisher, state: 'interrupted' } }, 'The host is reconnecting…'],
  ['before the first frame', { frames: 0 }, 'Starting the picture…'],
  ['with frames', {}, 'Live'],
  ['without a camera', { frames: 0, publisher: { ...snapshot().publisher, video: false } }, 'Live'],
  ['on a network that carries no picture', { layers: { available: [], selected: null, reason: 'bandwidth' } },
    'Your network carries no picture just now. The sound goes on.'],
  ['of a host whose network is away', { layers: { available: [{ layer: 'full', active: false, width: 640, height: 360, bitrate: 0 }], selected: 'full', reason: 'auto' } },
    'The host’s picture does not come just now. It goes on by itself.'],
  ['when stuck', { stalled: true }, 'The picture does not come through. Trying again…'],
  ['whose network lets nothing through', { stalled: true, trouble: 'blocked' }, 'Your network or a firewall lets no video through.'],
  ['who cannot reach the server', { connection: 'reconnecting', trouble: 'unreachable' }, 'The server cannot be reached.'],
  ['without the socket', { connection: 'reconnecting' }, 'Connection lost. Reconnecting…'],
  ['without a decoder', { layers: { available: [], selected: null, reason: 'codec_mismatch', codec: 'h264' } },
    'The host sends H.264, which this browser cannot play. Another browser may.'],
  ['when refused', { connection: 'closed', error: new KliegError('not_found') }, 'This room does not exist, or is not open to you.'],
])('a viewer %s reads what is going on', (_, evidence, words) => {
  expect(describeViewer(judge({ ...playing, ...evidence }))).toBe(words);
});

test.each<[Partial<Layers>, string, string]>([
  [{}, 'auto', 'The best quality that the host sends.'],
  [{ selected: null }, 'auto', ''],
  [{ reason: 'bandwidth' }, 'auto', 'Your network carries no better quality just now. It returns by itself.'],
  [{ reason: 'bandwidth' }, 'f', 'Your network does not carry what you chose just now. It returns by itself.'],
  [{ reason: 'bandwidth', selected: null }, 'f', 'Your network carries no picture just now. The sound goes on.'],
  [{ reason: 'manual' }, 'h', 'As you chose.'],
  // The chosen one is on its way.
  [{ reason: 'manual' }, 'f', ''],
  [{ reason: 'unavailable' }, 'f', 'The host does not send what you chose just now. You see another quality meanwhile.'],
  [{ reason: 'codec_mismatch', selected: null, codec: 'av1' }, 'auto', 'The host sends AV1, which this browser cannot play. Another browser may.'],
])('with the layers %j and the choice %s a viewer reads why', (layers, choice, words) => {
  expect(describeLayers({ available: [], selected: 'h', reason: 'auto', ...layers }, choice)).toBe(words);
});

test('a refused publisher reads why', () => {
  expect(describePublisher({ kind: 'refused', code: 'replaced' })).toBe('This room is live from another window, an encoder or somebody else now. This one has stopped.');
});

test('a code nobody has heard of is named', () => {
  expect(describeError(new KliegError('moon_phase'))).toBe('Something went wrong (moon_phase).');
  expect(describeError(new KliegError('toString'))).toBe('Something went wrong (toString).');
});

test('a codec nobody has heard of keeps its name', () => {
  expect(describeCodec('AV1')).toBe('AV1');
  expect(describeCodec('h266')).toBe('h266');
  expect(describeCodec('')).toBe('a format');
});

test('a viewer in trouble reads what to do, and nobody else does', () => {
  expect(describeRemedy({ kind: 'stalled', trouble: 'full' })).toBe('You get in by yourself as soon as there is room.');
  expect(describeRemedy({ kind: 'stalled' })).toBe('');
});
