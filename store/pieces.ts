/** Work on many UIDs in transactions of bounded size, so that no other writer waits long; answered as one. */
import type { ModSeq, Uid } from './model.ts';
import type { Taken } from './port.ts';
import { pieceSize } from './standing.ts';

/** An undo of these, piece by piece. After an error some may be done, and asking again does the rest. */
export async function undoInPieces(
  uids: readonly Uid[],
  undo: (some: readonly Uid[]) => Promise<Taken>,
): Promise<Taken> {
  const pieces: Taken[] = [];
  for (let at = 0; at < uids.length; at += pieceSize) pieces.push(await undo(uids.slice(at, at + pieceSize)));
  return {
    pairs: pieces.flatMap(({ pairs }) => pairs),
    left: pieces.flatMap(({ left }) => left),
    refused: pieces.flatMap(({ refused }) => refused),
    unknown: [],
    modSeq: Math.max(0, ...pieces.map(({ modSeq }) => modSeq)) as ModSeq,
  };
}
