// The bound on bytes: order, oversize, abort.
import { getEventListeners } from 'node:events';
import { test } from 'tap';
import { ByteBudget } from '../../src/nbd/budget.ts';

const never = new AbortController().signal;

test('admits what fits, first come, first served', async (t) => {
  const budget = new ByteBudget(10);
  const order: string[] = [];
  t.equal(budget.take(6, never), undefined, 'at once');
  const large = budget.take(5, never)?.then(() => order.push('large'));
  const small = budget.take(1, never)?.then(() => order.push('small'));
  t.ok(budget.contended);
  budget.give(6);
  await Promise.all([large, small]);
  t.same(order, ['large', 'small'], 'the small one did not overtake');
  t.notOk(budget.contended);
  budget.give(6);
});

test('more than the limit is admitted alone', async (t) => {
  const budget = new ByteBudget(10);
  t.equal(budget.take(1, never), undefined);
  const huge = budget.take(100, never);
  const next = budget.take(1, never);
  budget.give(1);
  await huge;
  t.ok(budget.contended, 'the next one waits for it');
  budget.give(100);
  await next;
  budget.give(1);
});

test('who is aborted while waiting leaves nothing behind and lets the next one in', async (t) => {
  const budget = new ByteBudget(10);
  const gone = new AbortController();
  t.equal(budget.take(10, never), undefined);
  const first = budget.take(10, gone.signal);
  const second = budget.take(1, never);
  gone.abort(new Error('gone'));
  await t.rejects(Promise.resolve(first), { message: 'gone' });
  t.equal(getEventListeners(gone.signal, 'abort').length, 0);
  budget.give(10);
  await second;
  t.equal(budget.take(9, never), undefined, 'nothing but the second is taken');
  await t.rejects(Promise.resolve(budget.take(9, gone.signal)), { message: 'gone' }, 'aborted before');
});

test('an aborted wait in front of one that fits lets that one in at once', async (t) => {
  const budget = new ByteBudget(10);
  const gone = new AbortController();
  t.equal(budget.take(5, never), undefined);
  const large = budget.take(10, gone.signal);
  const small = budget.take(5, never);
  gone.abort(new Error('gone'));
  await t.rejects(Promise.resolve(large));
  await small;
  t.pass('without anything given back');
});
