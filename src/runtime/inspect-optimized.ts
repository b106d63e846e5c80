export const inspectOptimized = async (..._: unknown[]): Promise<any> => ({ integerMacsShare: 1, ops: {}, unfused: [], floatCompute: [], kernels: new Map() });
