// A thread of the store that answers one call with the number of the thread, and dies of any other.
import { parentPort, threadId } from 'node:worker_threads';

parentPort.on('message', ({ id, method, close }) => {
  if (close) parentPort.close();
  else if (method === 'name') parentPort.postMessage({ replies: [{ id, value: threadId }] });
  else if (method === 'throw') throw new Error('out of order');
  else process.exit(1);
});
