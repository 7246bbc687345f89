import { afterEach, beforeEach, expect, test, vi } from 'vitest';

beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal('navigator', { languages: ['vi-VN', 'en'] });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.doUnmock('./vi.js');
});

test('the first language of the browser that there is one for is spoken', async () => {
  const { language, messages } = await import('./index.js');
  expect([language, messages.retry]).toEqual(['vi', 'Thử lại']);
});

test('where a language does not load the page speaks English', async () => {
  vi.doMock('./vi.js', () => { throw new Error('offline'); });
  const { describeCodec, language, messages } = await import('./index.js');
  const [{ en }, client] = await Promise.all([import('./en.js'), import('@klieg/client')]);
  expect(language).toBe('en');
  expect(messages.retry).toBe(en.retry);
  expect(describeCodec('')).toBe(client.en.codec.unknown);
});
