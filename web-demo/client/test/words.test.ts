import { expect, test } from 'vitest';
import { KliegError, describeCodec, describeError, describePublisher, describeViewer } from '../src/index.js';
import { judge } from '../src/viewer.js';
import type { Evidence } from '../src/viewer.js';
import { snapshot } from './joined-room.js';

const playing: Evidence = {
  connection: 'joined', publisher: snapshot().publisher, ended: false, layers: undefined, frames: 10, stalled: false, error: undefined,
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
  ['when stuck', { stalled: true }, 'The picture does not come through. Trying again…'],
  ['without the socket', { connection: 'reconnecting' }, 'Connection lost. Reconnecting…'],
  ['without a decoder', { layers: { available: [], selected: null, reason: 'codec_mismatch', codec: 'h264' } },
    'The host sends H.264, which this browser cannot play. Another browser may.'],
  ['when refused', { connection: 'closed', error: new KliegError('not_found') }, 'This room does not exist, or is not open to you.'],
])('a viewer %s reads what is going on', (_, evidence, words) => {
  expect(describeViewer(judge({ ...playing, ...evidence }))).toBe(words);
});

test('a refused publisher reads why', () => {
  expect(describePublisher({ kind: 'refused', code: 'publisher_exists' })).toBe('Somebody else is live in this room. You can go live when they have stopped.');
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
