import { describe } from 'vitest';
import { openTestMongo } from '../support/mongo-fixture.js';
import { noServer } from '../support/mongo-server.js';
import { tierSuite } from './tier-suite.js';

describe.skipIf(noServer !== undefined)('MongoDB', () => {
  tierSuite('MongoDB', openTestMongo);
});
