/** A film for the fake camera, drawn by arithmetic: a singer on a stage under two moving lights. */

import { writeFile } from 'node:fs/promises';

/** The size that the tests publish. */
const WIDTH = 640;
const HEIGHT = 360;
const FRAMES = 60;
const FLOOR = 268;

type Colour = readonly [red: number, green: number, blue: number];

/** A lamp above the picture, and the spot on the floor that it follows. */
interface Lamp {
  x: number;
  colour: Colour;
  aim: (turn: number) => number;
}

const LAMPS: readonly Lamp[] = [
  { x: 120, colour: [255, 176, 70], aim: (turn) => 300 + 60 * Math.sin(turn) },
  { x: 530, colour: [90, 120, 255], aim: (turn) => 350 + 90 * Math.cos(turn) },
  { x: 325, colour: [255, 226, 190], aim: () => 322 },
];

/** Writes the film, which can be repeated without a seam, as YUV4MPEG2. */
export async function writeScene(path: string): Promise<void> {
  const chunks: Uint8Array[] = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F30:1 Ip A1:1 C420jpeg\n`)];
  for (let frame = 0; frame < FRAMES; frame++) {
    chunks.push(Buffer.from('FRAME\n'), draw((frame / FRAMES) * 2 * Math.PI));
  }
  await writeFile(path, Buffer.concat(chunks));
}

/** Draws one frame in planes of Y, U and V; two by two pixels share one colour, so each four are computed as one but for their light. */
function draw(turn: number): Uint8Array {
  const planes = new Uint8Array(WIDTH * HEIGHT * 1.5);
  const u = WIDTH * HEIGHT;
  const v = u * 1.25;
  for (let y = 0; y < HEIGHT; y += 2) {
    for (let x = 0; x < WIDTH; x += 2) {
      const [red, green, blue] = shade(x, y, turn);
      const light = 0.299 * red + 0.587 * green + 0.114 * blue;
      const at = y * WIDTH + x;
      planes[at] = planes[at + 1] = planes[at + WIDTH] = planes[at + WIDTH + 1] = light;
      const colour = (y / 2) * (WIDTH / 2) + x / 2;
      planes[u + colour] = 128 + 0.564 * (blue - light);
      planes[v + colour] = 128 + 0.713 * (red - light);
    }
  }
  return planes;
}

function shade(x: number, y: number, turn: number): Colour {
  const wall = y < FLOOR;
  const fold = wall ? 1 + 0.35 * Math.sin(x * 0.11) * Math.sin(x * 0.023) : 1;
  const base = wall ? 20 + y * 0.05 : 34 - (y - FLOOR) * 0.12;
  const colour: [number, number, number] = [base * fold * 1.15, base * fold * 0.8, base * fold];
  const figure = singer(x - 6 * Math.sin(turn), y);
  for (const lamp of LAMPS) {
    const aim = lamp.aim(turn);
    const light = figure > 0 ? 0.32 * figure : beam(x, y, lamp.x, aim) * fold + pool(x, y, aim);
    for (let part = 0; part < 3; part++) colour[part]! += lamp.colour[part]! * light;
  }
  return colour.map((value) => Math.min(255, value)) as unknown as Colour;
}

/** Light in the air between a lamp and its spot. */
function beam(x: number, y: number, lampX: number, aim: number): number {
  if (y > FLOOR + 8) return 0;
  const down = (y + 30) / (FLOOR + 30);
  const across = (x - lampX - (aim - lampX) * down) / (8 + 58 * down);
  return 0.42 * Math.exp(-(across ** 4)) * (1 - 0.45 * down);
}

/** The spot on the floor. */
function pool(x: number, y: number, aim: number): number {
  return 0.5 * Math.exp(-(((x - aim) / 78) ** 2) - ((y - FLOOR - 20) / 18) ** 2);
}

/** How brightly the singer is lit here; 0 beside them. */
function singer(x: number, y: number): number {
  const head = Math.hypot(x - 320, (y - 142) * 0.9) < 17;
  const body = y > 158 && y < 292 && Math.abs(x - 320) < 15 + (y - 158) * 0.13;
  const arm = Math.abs(y - 192 + (x - 320) * 0.55) < 6 && x > 320 && x < 356;
  const stand = (Math.abs(x - 362) < 2 && y > 160 && y < 292) || (Math.hypot(x - 360, y - 158) < 7);
  if (head) return 1.1 - Math.abs(x - 326) / 30;
  if (body || arm) return 0.75 - Math.abs(x - 328) / 60;
  return stand ? 0.3 : 0;
}
