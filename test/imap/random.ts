import type { Test } from 'tap';

/** Numbers below `n` from a seed, which is printed, and taken from SEED if that is set. */
export function randomFrom(t: Test): (n: number) => number {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0xffff_ffff));
  t.comment(`SEED=${seed}`);
  let state = seed >>> 0;
  return (n) => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
}
