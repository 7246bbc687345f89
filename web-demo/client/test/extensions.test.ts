import { expect, test, vi } from 'vitest';
import { askForExtensions } from '../src/extensions.js';

const descriptor = 'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';
const captureTime = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';

test('the dependency descriptor and the time of capture are asked for where the browser has them and can be asked', () => {
  const set = vi.fn();
  const offered = [descriptor, 'urn:other', captureTime].map((uri) => ({ uri, direction: 'stopped' }));
  askForExtensions({ getHeaderExtensionsToNegotiate: () => offered, setHeaderExtensionsToNegotiate: set });
  expect(set).toHaveBeenCalledWith([
    { uri: descriptor, direction: 'sendrecv' }, { uri: 'urn:other', direction: 'stopped' }, { uri: captureTime, direction: 'sendrecv' },
  ]);
  expect(() => askForExtensions({})).not.toThrow();
});

test('a browser that has neither is not asked', () => {
  const set = vi.fn();
  askForExtensions({ getHeaderExtensionsToNegotiate: () => [{ uri: 'urn:other', direction: 'sendrecv' }], setHeaderExtensionsToNegotiate: set });
  expect(set).not.toHaveBeenCalled();
});
