import { expect, test } from 'vitest';
import { map } from './map.mjs';

test('the map is that of plain Node', async () => {
  expect(await map()).toBe(process.env.EXPECTED_MAP);
}, 60_000);
