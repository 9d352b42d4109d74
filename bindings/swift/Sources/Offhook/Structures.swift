// Structures.swift - structures of C that begin with their size: made for the library, and read from it.
import COffhook

/// A structure of C that begins with its size.
protocol CStructure {
  init()
}

extension oh_client_options: CStructure {}
extension oh_call_options: CStructure {}
extension oh_call_handlers: CStructure {}
extension oh_audio_track_options: CStructure {}
extension oh_remote_track_options: CStructure {}
extension oh_data_options: CStructure {}
extension oh_rpc_options: CStructure {}
extension oh_access_token_options: CStructure {}
extension oh_diagnose_options: CStructure {}
extension oh_ice_server: CStructure {}
extension oh_diagnosis: CStructure {}
extension oh_limits: CStructure {}
extension oh_call_stats: CStructure {}
extension oh_track_stats: CStructure {}
extension oh_remote_track_stats: CStructure {}
extension oh_log_record: CStructure {}
extension oh_audio_frame: CStructure {}
extension oh_participants: CStructure {}
extension oh_participant: CStructure {}
extension oh_track_info: CStructure {}
extension oh_pin: CStructure {}
extension oh_event: CStructure {}
extension oh_event_state: CStructure {}
extension oh_event_joined: CStructure {}
extension oh_event_audio_level: CStructure {}
extension oh_event_dominant_speaker: CStructure {}
extension oh_event_connection_quality: CStructure {}
extension oh_event_counts: CStructure {}
extension oh_event_rights: CStructure {}
extension oh_event_pins: CStructure {}
extension oh_event_local_track: CStructure {}
extension oh_event_error: CStructure {}
extension oh_event_lost: CStructure {}
extension oh_event_ended: CStructure {}
extension oh_event_reconnected: CStructure {}
extension oh_event_custom: CStructure {}
extension oh_event_room: CStructure {}
extension oh_event_data: CStructure {}
extension oh_event_text: CStructure {}
extension oh_event_text_part: CStructure {}
extension oh_event_rpc_request: CStructure {}
extension oh_event_rpc_response: CStructure {}
extension oh_event_subscription_permission: CStructure {}
extension oh_event_media: CStructure {}
extension oh_event_unsent: CStructure {}
extension oh_event_unplayable: CStructure {}
extension oh_event_dtmf: CStructure {}
extension oh_event_ice_server: CStructure {}

/// A structure for the library with its defaults: all zero, and its size.
func defaults<T: CStructure>(_: T.Type = T.self) -> T {
  var structure = T()
  withUnsafeMutablePointer(to: &structure) { oh_struct_init(UnsafeMutableRawPointer($0), MemoryLayout<T>.size) }
  return structure
}

/// Reads a structure of the library as far as header and library both know it. A structure of an older library is
/// shorter: members that it does not have are zero. One of a newer library is longer. NULL is all zero.
func known<T: CStructure>(_ pointer: UnsafePointer<T>?) -> T {
  var structure = T()
  guard let pointer else { return structure }
  let size = UnsafeRawPointer(pointer).load(as: Int.self)
  if size >= MemoryLayout<T>.size { return pointer.pointee }
  withUnsafeMutableBytes(of: &structure) {
    $0.copyMemory(from: UnsafeRawBufferPointer(start: pointer, count: max(0, size)))
  }
  return structure
}

/// Reads an array of pointers to structures of the library.
func known<T: CStructure>(_ pointers: UnsafePointer<UnsafePointer<T>?>?, _ count: Int) -> [T] {
  guard let pointers, count > 0 else { return [] }
  return (0..<count).map { known(pointers[$0]) }
}

/// Text of the library; "" for NULL.
func text(_ c: UnsafePointer<CChar>?) -> String {
  guard let c else { return "" }
  return String(cString: c)
}

extension Bool {
  /// For C.
  var c: oh_bool { self ? 1 : 0 }
}

/// An option whose 0 stands for the default in C: nil is the default, and 0 is zero.
func option(_ value: UInt32?) -> UInt32 {
  guard let value else { return 0 }
  return value == 0 ? COFFHOOK_ZERO : value  // OH_ZERO
}
