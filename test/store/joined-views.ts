/** Views that both sides of the tests know. */

export const DOCS = { entity: 'doc', features: { title: 'string' } } as const;
export const OTHER_DOCS = { entity: 'doc', features: { rank: 'float32' } } as const;
