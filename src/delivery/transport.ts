/** The port behind which the ways out lie: by SMTP or LMTP, into a mailbox by IMAP, through amavis. */
import type { DeliveryClient, DeliveryEnvelope, NextHop } from '#smtp/client';
import type { Actor, Entry, Message } from '#store/model';

/** One release in one try. */
export interface Parcel {
  readonly entry: Entry;
  readonly message: Message;
  readonly envelope: DeliveryEnvelope;
  readonly actor: Actor;
  /** Tries begun, this one included: after the first, what was sent before may have arrived. */
  readonly attempt: number;
  /** Stands in the trace of this release, in all its tries, and of no other. */
  readonly mark: string;
  /** Trace, then message. May be called again; nothing is read before. */
  source(): AsyncIterable<Uint8Array>;
  /** About how many octets the source has. */
  readonly size: number;
}

export interface Outcome {
  /** refused: for good. later: not now, or no answer that counts. */
  readonly kind: 'accepted' | 'later' | 'refused';
  /** The other side's own words in one line, or ours where it had none. */
  readonly said: string;
  /** Nothing was tried, because others are before it; `hanging`: and nobody was answered lately. */
  readonly busy?: { readonly hanging: boolean };
}

/** Throws what the source throws and, when it is given up before anything can have arrived, the signal's reason. */
export interface Transport {
  readonly name: string;
  send(parcel: Parcel, signal: AbortSignal): Promise<Outcome>;
}

export function bySmtp(client: Pick<DeliveryClient, 'deliver'>, hop: NextHop): Transport {
  return {
    name: hop.name,
    async send({ envelope, source, size }, signal) {
      const { outcomes, busy } = await client.deliver(hop, envelope, source, size, signal);
      const { kind, said } = outcomes[0]!;
      return { kind, said, ...(busy && { busy }) };
    },
  };
}
