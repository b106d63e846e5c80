// @ts-check

/**
 * One line a tensor, as microcontroller code reads it: name, scale, zero point. More than one scale is an error there.
 * @type {import('quantbench').ExporterPlugin}
 */
const scaleTable = {
  name: 'scale-table',
  doc: 'Scale and zero point of each tensor as text, one line a tensor.',
  export({ params }) {
    const lines = [...params].flatMap(([point, { scale, zeroPoint }]) =>
      'uses' in point && scale.length === 1 ? `${point.name} ${scale[0]} ${zeroPoint[0]}` : [],
    );
    return [{ path: 'scales.txt', role: 'sidecar', data: `${lines.sort().join('\n')}\n` }];
  },
};

export const exporters = [scaleTable];
