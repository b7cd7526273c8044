// NoteCosignatures.swift: the checkpoint as a note, signed when somebody wants it, and the
// cosignatures that witnesses gave it. Not here: asking them (Node's Witnesses), the checkpoint
// with its SSH signature (Notary.swift). Start at Notary.note.

extension Journal {
  /// Proof of a receipt under a note; nil if the note does not cover it.
  package func noteProof(of index: Int, under note: SignedNote) -> NoteProof? {
    // Its own notes can be read.
    guard let head = try? LogHead(parsing: note.text), index < head.size,
      let path = read({ $0.tree.inclusion(of: index, in: head.size) })
    else { return nil }
    return NoteProof(index: index, path: path, note: note)
  }
}

extension Notary {
  /// The newest checkpoint as a note with this node's signature; nil before the first, or for a key
  /// other than Ed25519. Takes a process's time; the same checkpoint is signed once.
  package func note() throws(SignatureError) -> SignedNote? {
    guard let checkpoint = current?.checkpoint, let own = NoteKey(log: key) else { return nil }
    if let kept = notes.withLock({ $0.signed }), kept.text == checkpoint.noteText { return kept }
    let text = checkpoint.noteText
    let signature = try keygen.signRaw(Array(text.utf8), key: key, keyPath: keyPath)
    let note = SignedNote(text: text, lines: [.init(key: own, signature: signature)])
    notes.withLock { $0.signed = note }
    return note
  }

  /// The note that witnesses cosigned last, with their lines; nil before the first.
  package var cosignedNote: SignedNote? { notes.withLock { $0.cosigned } }

  /// Checks a witness' cosignature over a note of this log, keeps it in `checkpoint.note` of the state
  /// directory, and records it.
  /// - note: with this node's line
  package func accept(
    _ lines: [SignedNote.Line], of note: SignedNote, by witness: NoteKey
  ) throws(NotaryError) {
    let head: LogHead
    do throws(FormatError) { head = try LogHead(parsing: note.text) } catch {
      throw .foreignCheckpoint(error.description)
    }
    guard head.origin == key.origin, journal.read({ $0.tree.root(at: head.size) }) == head.root else {
      throw .foreignCheckpoint("the note is not one of this log's")
    }
    guard
      let line = lines.first(where: {
        $0.name == witness.name && $0.bytes.prefix(4).elementsEqual(witness.id)
      })
    else { throw .foreignCheckpoint("the answer has no line of \(witness.name)") }
    let cosigned = SignedNote(text: note.text, lines: note.lines + [line])
    do throws(NoteProblem) { _ = try NoteCosignature.time(of: cosigned, by: witness).get() } catch {
      throw .foreignCheckpoint(error.description)
    }
    let kept = notes.withLock { notes in
      if notes.cosigned?.text == note.text, var old = notes.cosigned {
        old.lines.removeAll { $0.name == line.name }
        old.lines.append(line)
        notes.cosigned = old
      } else {
        notes.cosigned = cosigned
      }
      return notes.cosigned ?? cosigned
    }
    do throws(FileError) {
      try files.replaceFile(state + "/checkpoint.note", with: Array(kept.whole.utf8), in: state)
    } catch { throw .file(error) }
    do throws(JournalError) {
      try journal.append(
        [.checkpointWitnessed(CheckpointWitnessed(size: head.size, root: head.root, witness: witness.name))],
        at: clock())
    } catch { throw .journal(error) }
  }
}
