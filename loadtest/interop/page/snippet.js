export async function publish(url, key, stream) {
  const pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  await pc.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` };
  const answer = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  return { pc, session: new URL(answer.headers.get('Location'), url) }; // `DELETE` it, with the key, to stop.
}

export async function watch(url, video) {
  const pc = new RTCPeerConnection();
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
  pc.ontrack = ({ streams }) => { video.srcObject = streams[0]; };
  await pc.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  return { pc, session: new URL(answer.headers.get('Location'), url) };
}
