/** A colour of its own for each room and person, the same at every visit. */

/** Returns a hue, 0 to 359 degrees. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let index = 0; index < id.length; index++) {
    hash = Math.imul(hash ^ id.charCodeAt(index), 16777619);
  }
  return (hash >>> 0) % 360;
}
