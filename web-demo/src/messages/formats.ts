/** Numbers, moments and prices as a language writes them. */

/** What a catalogue formats with. */
export interface Formats {
  number: Intl.NumberFormat;
  compact: Intl.NumberFormat;
  hundredths: Intl.NumberFormat;
  percent: Intl.NumberFormat;
  countries: Intl.DisplayNames;
  time: Intl.DateTimeFormat;
  day: Intl.DateTimeFormat;
  money: (currency: string) => Intl.NumberFormat;
}

export function formatsOf(locale: string): Formats {
  /** By currency: making one takes longer than using it. */
  const prices = new Map<string, Intl.NumberFormat>();
  return {
    number: new Intl.NumberFormat(locale),
    compact: new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 }),
    hundredths: new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    percent: new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 }),
    countries: new Intl.DisplayNames(locale, { type: 'region', fallback: 'code' }),
    time: new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' }),
    day: new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' }),
    money(currency) {
      const known = prices.get(currency) ?? new Intl.NumberFormat(locale, { style: 'currency', currency });
      prices.set(currency, known);
      return known;
    },
  };
}

const { money } = formatsOf('en');

/** Returns how many digits of an amount stand behind the point: the rest of its smallest units. */
export function digits(currency: string): number {
  return money(currency).resolvedOptions().maximumFractionDigits ?? 2;
}

/** Writes a time that is left as clocks do: `4:05`, `1:04:05`. */
export function clock(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
