/**
 * Replacements of many documents, as one removal and one insertion.
 *
 * For a document that is updated MongoDB 6.0 works through every index of the collection, whether its keys change or not: with
 * the dozen of `entries` a thousand updates take 180 ms, however they are told. To remove a thousand documents and insert them
 * as they are to be takes 60 ms. It is for transactions only, of which others see both or neither.
 */
import type { AnyBulkWriteOperation, Document } from 'mongodb';

type Operation = AnyBulkWriteOperation<Document>;
type Id = Document['_id'];

/** Operations to the same effect. A `replaceOne` that is no upsert names by its `_id` alone a document that is there. */
export function rewritten(operations: readonly Operation[]): Operation[] {
  const told: Operation[] = [];
  // What is to be since the last operation of another kind; of a document's replacements the last one counts.
  const documents = new Map<Id, Document>();
  for (const operation of operations) {
    if ('replaceOne' in operation && !operation.replaceOne.upsert) {
      const { filter, replacement } = operation.replaceOne;
      documents.set(filter._id, replacement);
      continue;
    }
    told.push(...replacing(documents), operation);
    documents.clear();
  }
  return [...told, ...replacing(documents)];
}

function replacing(documents: ReadonlyMap<Id, Document>): readonly Operation[] {
  const ids = [...documents.keys()];
  if (ids.length < 2)
    return [...documents].map(([_id, replacement]) => ({ replaceOne: { filter: { _id }, replacement } }));
  return [
    { deleteMany: { filter: { _id: { $in: ids } } } },
    ...[...documents].map(([_id, replacement]) => ({ insertOne: { document: { _id, ...replacement } } })),
  ];
}
