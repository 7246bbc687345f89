/** A colour of its own for each room and person, the same at every visit. */

/** Returns a hue, 0 to 359 degrees. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let index = 0; index < id.length; index++) {
    hash = Math.imul(hash ^ id.charCodeAt(index), 16777619);
  }
  return (hash >>> 0) % 360;
}

/** The picture of a room that has none: a light of its own. */
export function posterOf(id: string): { background: string } {
  const hue = hueOf(id);
  return {
    background: `radial-gradient(120% 140% at 15% 0%, oklch(0.66 0.13 ${hue}) 0%, oklch(0.4 0.11 ${hue + 35}) 45%, oklch(0.2 0.05 ${hue + 60}) 100%)`,
  };
}
