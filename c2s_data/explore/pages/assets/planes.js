"use strict";
/* Planes of a map on one gray scale, with labels and a scale bar on top. */
(() => {
  const AXES = "zyx";
  c2s.BELOW = [24, 38, 66];

  c2s.grayColor = (code) => code === 0 ? c2s.BELOW
    : code === 255 ? c2s.channels(c2s.palette.clipped) : [code - 1, code - 1, code - 1];

  /* Rows of a plane go up the page, so that y and z grow upwards. */
  c2s.planeImage = (plane, colorOf = c2s.grayColor) => {
    const [rows, columns] = plane.shape;
    const image = new ImageData(columns, rows);
    const colors = Array.from({ length: 256 }, (_, code) => colorOf(code));
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const at = 4 * ((rows - 1 - r) * columns + c);
      const color = colors[plane.data[r * columns + c]];
      image.data[at] = color[0];
      image.data[at + 1] = color[1];
      image.data[at + 2] = color[2];
      image.data[at + 3] = color[3] ?? 255;
    }
    return image;
  };

  c2s.bitmap = (image) => {
    const made = document.createElement("canvas");
    [made.width, made.height] = [image.width, image.height];
    made.getContext("2d").putImageData(image, 0, 0);
    return made;
  };

  /* Draws a plane; step_A is the size of its pixels (rows, columns). Returns pixels per Angstrom. */
  c2s.drawPlane = (canvas, plane, step_A, bitmap = null) => {
    const [rows, columns] = plane.shape, ratio = window.devicePixelRatio || 1;
    const width_A = columns * step_A[1], height_A = rows * step_A[0];
    const scale = canvas.clientWidth * ratio / width_A;
    canvas.width = Math.round(width_A * scale);
    canvas.height = Math.round(height_A * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap ?? c2s.bitmap(c2s.planeImage(plane)), 0, 0, canvas.width, canvas.height);
    return scale;
  };

  c2s.scaleBar = (canvas, scale) => {
    const context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    const length_A = [100, 50, 20, 10, 5].find((one) => one * scale < canvas.width / 3) ?? 2;
    const [x, y] = [10 * ratio, canvas.height - 12 * ratio];
    context.fillStyle = "#ffffff";
    context.strokeStyle = "#00000088";
    context.lineWidth = 2 * ratio;
    context.fillRect(x, y, length_A * scale, 3 * ratio);
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.strokeText(`${length_A} Å`, x, y - 5 * ratio);
    context.fillText(`${length_A} Å`, x, y - 5 * ratio);
  };

  /* Dots at labeled voxels no farther from the plane than half_A; returns how many. */
  c2s.drawLabels = (canvas, scale, trace, by, axis, position_voxel, half_A) => {
    const context = canvas.getContext("2d"), [down, across] = [0, 1, 2].filter((k) => k !== axis);
    const voxel = trace.voxel_zyx.data, radius = Math.max(2.2, 1.1 * scale);
    let n = 0;
    for (let i = 0; i < trace.voxel_zyx.shape[0]; i++) {
      const at = [0, 1, 2].map((k) => voxel[3 * i + k]);
      if (at[0] < 0 || Math.abs(at[axis] - position_voxel) > half_A) continue;
      context.beginPath();
      context.arc((at[across] + 0.5) * scale, canvas.height - (at[down] + 0.5) * scale, radius,
        0, 2 * Math.PI);
      context.fillStyle = `rgb(${c2s.residueColor(trace, by, i).join(" ")})`;
      context.fill();
      context.lineWidth = Math.max(1, 0.25 * scale);
      context.strokeStyle = "#ffffff";
      context.stroke();
      n++;
    }
    return n;
  };

  c2s.axisName = (axis) => AXES[axis];
})();
